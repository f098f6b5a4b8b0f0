package door

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxAuthority bounds the certificates of authorities, as PEM. They travel to the agent in
// a variable of its environment, in which Linux allows 128 KiB.
const maxAuthority = 64 << 10

// clients are those that dial the embedded NATS, and have to accept the certificate.
type clients struct {
	hosts  []string // under which they dial
	caFile string   // what they check against; empty: what the system knows
}

// Serve has the certificate serve clients that dial one of those hosts and know the
// authorities in a file; without a file those of the system. It fails where they would
// refuse it, unless only its time is over, which Trouble tells of. From then on files that
// they would refuse leave the last ones in force.
func (c *Certificate) Serve(hosts []string, caFile string) error {
	was := c.clients
	c.clients = clients{hosts, caFile}
	pair, found, err := c.read()
	var trusted string
	if err == nil {
		trusted, err = c.clients.accept(c.certFile, pair, found[2], time.Now())
	}
	if err != nil {
		c.clients = was
		return err
	}
	c.seen = found
	c.current.Set(pair)
	c.trusted.Store(&trusted)
	return nil
}

// Trusted are the authorities, as PEM, that a client which has nothing else needs to accept
// the certificate; empty before Serve.
func (c *Certificate) Trusted() string {
	if c == nil || c.trusted.Load() == nil {
		return ""
	}
	return *c.trusted.Load()
}

// Names reports whether the certificate is for a host, too.
func (c *Certificate) Names(host string) bool {
	return c.current.Get().Leaf.VerifyHostname(host) == nil
}

// accept checks a certificate as clients do, and returns the authorities that it was
// accepted by.
func (k clients) accept(certFile string, pair *tls.Certificate, ca []byte, now time.Time) (trusted string, err error) {
	if len(k.hosts) == 0 {
		return "", nil
	}
	options := x509.VerifyOptions{Intermediates: x509.NewCertPool(), CurrentTime: within(pair.Leaf, now)}
	if k.caFile != "" {
		if trusted, options.Roots, err = authorities(k.caFile, ca); err != nil {
			return "", err
		}
	}
	for _, der := range pair.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(between)
		}
	}
	chains, err := pair.Leaf.Verify(options)
	if err != nil {
		return "", k.refused(certFile, pair.Leaf, err)
	}
	for _, host := range k.hosts {
		if pair.Leaf.VerifyHostname(host) != nil {
			return "", fmt.Errorf("--tls-cert %s is not for %s, under which the embedded NATS is dialled, but for %s: "+
				"have one issued for that too, or pass --advertise-nats-url with a name that it has", certFile, host, namesOf(pair.Leaf))
		}
	}
	if k.caFile == "" { // another system may know others
		root := chains[0][len(chains[0])-1]
		trusted = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	}
	return trusted, nil
}

// within is the time in the life of a certificate that is nearest to now: whether it has
// ended is another question than who issued it.
func within(leaf *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(leaf.NotBefore):
		return leaf.NotBefore
	case now.After(leaf.NotAfter):
		return leaf.NotAfter
	}
	return now
}

func (k clients) refused(certFile string, leaf *x509.Certificate, err error) error {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); !unknown {
		return fmt.Errorf("--tls-cert %s: clients of the embedded NATS refuse it: %w", certFile, err)
	}
	if k.caFile == "" {
		return fmt.Errorf("--tls-cert %s was issued by %q, which this system does not know as an authority: pass its certificate with --tls-ca FILE", certFile, leaf.Issuer)
	}
	return fmt.Errorf("--tls-cert %s was issued by %q, which is not an authority in --tls-ca %s (or the certificates between them are missing in --tls-cert): put the right one there",
		certFile, leaf.Issuer, k.caFile)
}

func namesOf(leaf *x509.Certificate) string {
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all (a common name does not count)"
	}
	return strings.Join(names, ", ")
}

// ReadAuthorities are the certificates in a file of --tls-ca, as PEM and nothing else.
func ReadAuthorities(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--tls-ca: %w", err)
	}
	text, _, err := authorities(file, data)
	return text, err
}

func authorities(file string, data []byte) (text string, pool *x509.CertPool, err error) {
	pool = x509.NewCertPool()
	var out strings.Builder
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", nil, fmt.Errorf("--tls-ca %s: %w", file, err)
		}
		pool.AddCert(ca)
		out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	switch {
	case out.Len() == 0:
		return "", nil, fmt.Errorf("--tls-ca %s holds no certificate: want those of authorities, as PEM", file)
	case out.Len() > maxAuthority:
		return "", nil, fmt.Errorf("--tls-ca %s holds %d bytes of certificates, more than the %d that can travel to the agent: "+
			"leave out the authorities that issued none of ours, or leave --tls-ca out for those of the system", file, out.Len(), maxAuthority)
	}
	return out.String(), pool, nil
}
