package ray

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/state/kv/tlstest"
)

// behindTLS serves something by https, with a certificate of an authority that ends at some
// time from now. It returns the URL.
func behindTLS(t *testing.T, ca *tlstest.Authority, end time.Duration, next http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(next)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = ca.Server(end)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// proxyTo is what operators put before a dashboard, which speaks no TLS itself.
func proxyTo(t *testing.T, address string) http.Handler {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(u)
}

// dashboardTLS is a dashboard behind https, and what it was told by whoever got through.
type dashboardTLS struct {
	t     *testing.T
	ca    *tlstest.Authority
	file  string // of --ray-ca
	asked chan string
}

func newDashboardTLS(t *testing.T) *dashboardTLS {
	return &dashboardTLS{t: t, ca: tlstest.New(t), file: filepath.Join(t.TempDir(), "ca.crt"), asked: make(chan string, 16)}
}

func (d *dashboardTLS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked <- r.Header.Get("Authorization")
	_, _ = w.Write([]byte(`{"ray_version": "2.60.0"}`))
}

// hold writes the file of the authorities.
func (d *dashboardTLS) hold(pem string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(pem), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dashboardTLS) to(address string) Endpoint {
	d.t.Helper()
	s, err := NewStatic(address, d.file)
	if err != nil {
		d.t.Fatal(err)
	}
	e, _ := s.Endpoint(d.t.Context())
	return e
}

func (d *dashboardTLS) ask(way Endpoint) error {
	return newClient(way, "hush", http.DefaultTransport.(*http.Transport).Clone()).get(d.t.Context(), "/api/version", &struct{}{})
}

func (d *dashboardTLS) refuses(way Endpoint, because string) {
	d.t.Helper()
	err := d.ask(way)
	if !errors.Is(err, ErrUntrusted) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), because) || !strings.Contains(err.Error(), "--ray-ca") {
		d.t.Errorf("%v, want %q", err, because)
	}
	if len(d.asked) > 0 {
		d.t.Errorf("somebody was told %q", <-d.asked)
	}
}

// A dashboard behind https is gone on with when it proves what it is, by authorities that
// are read again; a token is never told to another.
func TestADashboardBehindTLS(t *testing.T) {
	d, stranger := newDashboardTLS(t), tlstest.New(t)
	good := behindTLS(t, d.ca, time.Hour, d)
	d.hold(stranger.PEM)
	way := d.to(good)
	d.refuses(way, "unknown authority")
	d.refuses(Endpoint{URL: good}, "unknown authority") // by what the system knows
	d.hold(stranger.PEM + d.ca.PEM)
	d.refuses(d.to(strings.Replace(good, "127.0.0.1", "localhost", 1)), "certificate is")
	d.refuses(d.to(behindTLS(t, d.ca, -time.Hour, d)), "expired")
	for _, pem := range []string{stranger.PEM + d.ca.PEM, "", d.ca.PEM} { // what is no authority leaves the last ones
		d.hold(pem)
		if err := d.ask(way); err != nil {
			t.Errorf("with %d bytes of authorities: %v", len(pem), err)
		} else if got := <-d.asked; got != "Bearer hush" {
			t.Errorf("told %q", got)
		}
	}
}

// Authorities that cannot be used are refused, and where nobody listens that is said.
func TestADashboardThatCannotBe(t *testing.T) {
	d := newDashboardTLS(t)
	for name, want := range map[string]string{filepath.Join(t.TempDir(), "none"): "--ray-ca: open", "trust_test.go": "holds no certificate"} {
		if _, err := NewStatic("https://ray.example", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	d.hold(d.ca.PEM)
	var broken *net.OpError
	if err := d.ask(d.to("https://127.0.0.1:1")); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUntrusted) || !errors.As(err, &broken) {
		t.Errorf("where nobody listens: %v", err)
	}
}
