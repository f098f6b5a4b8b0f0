package door

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/state/kv/tlstest"
)

// secured is a port with a certificate in files.
type secured struct {
	t                 *testing.T
	certFile, keyFile string
	cert              *Certificate
	address           string
	pool              *x509.CertPool
}

func (s *secured) write(cert, key string) {
	s.t.Helper()
	writeTokens(s.t, s.certFile, cert, 0o644)
	writeTokens(s.t, s.keyFile, key, 0o600)
}

// ask makes a new connection, and returns the serial number of what it was shown.
func (s *secured) ask() (serial int64, err error) {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+s.address+"/", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "hello\n" || answer.ProtoMajor != 1 {
		s.t.Errorf("%q by %s, %v", body, answer.Proto, err)
	}
	return answer.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
}

// A certificate is read again for new connections, one that has ended is refused by
// clients and told, and files that do not belong together leave the last ones in force.
func TestTheCertificateIsReadAgain(t *testing.T) {
	ca, dir, now := tlstest.New(t), t.TempDir(), time.Now()
	s := &secured{t: t, certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"), pool: ca.Pool}
	s.write(ca.Issue(1, now.Add(-time.Hour), now.Add(100*time.Hour)))
	var err error
	if s.cert, err = OpenCertificate(s.certFile, s.keyFile); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	s.address = l.Addr().String()
	start(t, Listener(l, s.cert), hello, nil)
	log := slog.New(slog.DiscardHandler)
	shows := func(step string, want int64, trouble string) {
		t.Helper()
		s.cert.look(log)
		serial, err := s.ask()
		if expired, ok := errors.AsType[x509.CertificateInvalidError](err); want == 0 && (!ok || expired.Reason != x509.Expired) || want != 0 && (err != nil || serial != want) {
			t.Errorf("%s: %d, %v, want %d", step, serial, err, want)
		}
		if got := s.cert.Trouble(now); trouble == "" && got != "" || !strings.Contains(got, trouble) {
			t.Errorf("%s: trouble %q, want %q", step, got, trouble)
		}
	}
	shows("the first", 1, "")
	s.write(ca.Issue(2, now.Add(-100*time.Hour), now.Add(9*time.Hour)))
	shows("one that ends soon", 2, "ends at")
	s.write(ca.Issue(3, now.Add(-2*time.Hour), now.Add(-time.Hour)))
	shows("one that has ended", 0, "has ended at")
	s.write(ca.Issue(4, now.Add(-time.Hour), now.Add(100*time.Hour)))
	shows("another one", 4, "")
	cert, key := ca.Issue(5, now.Add(-time.Hour), now.Add(100*time.Hour))
	writeTokens(t, s.certFile, cert, 0o644)
	shows("half of the next", 4, "do not count")
	writeTokens(t, s.keyFile, key, 0o644)
	shows("with a key that others may read", 4, "chmod 600")
	writeTokens(t, s.keyFile, key, 0o600)
	shows("all of it", 5, "")
	if err := os.Remove(s.keyFile); err != nil {
		t.Fatal(err)
	}
	shows("without its key", 5, "do not count")

	plain, err := http.Get("http://" + s.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", plain.StatusCode)
	}
	s.pool = x509.NewCertPool()
	if _, err := s.ask(); err == nil {
		t.Error("who does not know the authority is content")
	}
}

func TestCertificatesThatCannotBeMeant(t *testing.T) {
	ca, dir, now := tlstest.New(t), t.TempDir(), time.Now()
	cert, key := ca.Issue(1, now, now.Add(time.Hour))
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		writeTokens(t, path, text, mode)
		return path
	}
	good, secret := file("a.crt", cert, 0o644), file("a.key", key, 0o600)
	for _, tc := range []struct{ name, cert, key, want string }{
		{"one of two", good, "", "pass both"},
		{"the other", "", secret, "pass both"},
		{"a key that others may read", good, file("open.key", key, 0o644), "chmod 600"},
		{"no file", filepath.Join(dir, "none"), secret, "none: no such file"},
		{"no certificate", file("b.crt", "x", 0o644), secret, "--tls-cert"},
	} {
		if _, err := OpenCertificate(tc.cert, tc.key); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if c, err := OpenCertificate("", ""); c != nil || err != nil || c.Trouble(now) != "" {
		t.Errorf("neither: %v, %v", c, err)
	}
}
