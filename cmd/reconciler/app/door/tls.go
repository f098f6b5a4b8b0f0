package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"dynctl/cmd/internal/reread"
	"dynctl/state/kv"
)

// Certificate is what the HTTP port and the embedded NATS prove themselves by. A nil one
// means that neither has TLS. Its methods may be called from any goroutine, but [Certificate.Serve]
// before [Certificate.Follow].
type Certificate struct {
	certFile, keyFile string
	// Who else has to accept it; none before Serve.
	clients clients

	current reread.Value[tls.Certificate]
	trusted atomic.Pointer[string]
	seen    [3][]byte // what was read last; only OpenCertificate, Serve and look use it
}

// OpenCertificate reads a chain and its key, as PEM; with neither of the files there is
// none. It fails where they do not belong together, or others may read the key.
func OpenCertificate(certFile, keyFile string) (*Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "" || keyFile == "":
		return nil, errors.New("--tls-cert and --tls-key belong together: pass both")
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	pair, found, err := c.read()
	if err != nil {
		return nil, err
	}
	c.seen = found
	c.current.Set(pair)
	return c, nil
}

func (c *Certificate) read() (*tls.Certificate, [3][]byte, error) {
	var found [3][]byte
	info, err := os.Stat(c.keyFile)
	if err == nil {
		err = private(info)
	}
	if err != nil {
		return nil, found, fmt.Errorf("--tls-key %s: %w", c.keyFile, err)
	}
	for i, file := range []string{c.certFile, c.keyFile} {
		if found[i], err = os.ReadFile(file); err != nil {
			return nil, found, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(found[0], found[1])
	if err != nil {
		return nil, found, fmt.Errorf("--tls-cert %s with --tls-key %s: %w", c.certFile, c.keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, found, fmt.Errorf("--tls-cert %s: %w", c.certFile, err)
		}
	}
	if c.clients.caFile != "" {
		found[2], err = os.ReadFile(c.clients.caFile)
	}
	if err != nil {
		return nil, found, fmt.Errorf("--tls-ca: %w", err)
	}
	return &pair, found, nil
}

// Follow reads the files again until ctx ends. Some that do not belong together leave the
// last ones in force: another of them may be about to follow.
func (c *Certificate) Follow(ctx context.Context, log *slog.Logger) {
	if c != nil {
		reread.Follow(ctx, func() { c.look(log) })
	}
}

func (c *Certificate) look(log *slog.Logger) {
	pair, found, err := c.read()
	var trusted string
	if err == nil {
		trusted, err = c.clients.accept(c.certFile, pair, found[2], time.Now())
	}
	if err != nil {
		if text, tell := c.current.Fail(err); tell {
			log.Error("the certificate's files do not count; the last ones that could be read do", "err", text, "fix", "correct them")
		}
		return
	}
	c.trusted.Store(&trusted)
	if slices.EqualFunc(found[:], c.seen[:], bytes.Equal) {
		c.current.Keep()
		return
	}
	c.seen = found
	c.current.Set(pair)
	log.Info("another certificate is in force", "file", c.certFile, "until", pair.Leaf.NotAfter)
}

// Config is TLS with the certificate that is in force when a client connects. protocols
// are those that the two may agree on; none: whichever is spoken.
func (c *Certificate) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Get(), nil },
	}
}

// Trouble is what is to be seen to as of now: files that do not count, or a certificate
// that has ended or ends soon; empty: nothing.
func (c *Certificate) Trouble(now time.Time) string {
	if c == nil {
		return ""
	}
	if text := c.current.Wrong(); text != "" {
		return "the files do not count, and the last ones that could be read do: " + text
	}
	leaf := c.current.Get().Leaf
	until := leaf.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("%s has ended at %s, and clients refuse it: put another one there", c.certFile, until)
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("%s counts from %s on only, and clients refuse it: look at the clocks", c.certFile, leaf.NotBefore.UTC().Format(time.RFC3339))
	case kv.Ending(leaf, now):
		return fmt.Sprintf("%s ends at %s: put another one there", c.certFile, until)
	}
	return ""
}
