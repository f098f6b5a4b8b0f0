package ray

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// trusting carries requests to a server that proves itself by a certificate of the
// authorities in a file, which is read again for each request: it is small, and they are
// few. One that cannot be read, or holds none, leaves the last ones in force.
type trusting struct {
	file string

	mu   sync.Mutex
	seen []byte // what next was made from
	next *http.Transport
}

func (t *trusting) RoundTrip(req *http.Request) (*http.Response, error) {
	next, err := t.transport()
	if err != nil {
		return nil, err
	}
	return next.RoundTrip(req)
}

func (t *trusting) transport() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, err := os.ReadFile(t.file)
	if err == nil && t.next != nil && bytes.Equal(found, t.seen) {
		return t.next, nil
	}
	roots := x509.NewCertPool()
	if err == nil && !roots.AppendCertsFromPEM(found) {
		err = fmt.Errorf("%s holds no certificate: want those of authorities, as PEM", t.file)
	}
	switch {
	case err == nil:
	case t.next != nil:
		return t.next, nil
	default:
		return nil, fmt.Errorf("--ray-ca: %w", err)
	}
	next := http.DefaultTransport.(*http.Transport).Clone()
	next.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if t.next != nil {
		t.next.CloseIdleConnections()
	}
	t.next, t.seen = next, found
	return next, nil
}
