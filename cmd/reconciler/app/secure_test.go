package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/cmd/reconciler/app/door"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
	"dynctl/state/kv/natsd"
	"dynctl/state/kv/tlstest"
)

// secured is a reconciler whose store speaks TLS.
type secured struct {
	*rig
	t     *testing.T
	ca    *tlstest.Authority
	files tlstest.Files
	login nats.Option
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, ca: tlstest.New(t), rig: &rig{tb: t, storeAuth: true}}
	s.files = s.ca.NewFiles(t.TempDir())
	s.issue(1, 100*time.Hour)
	s.configure = func(c *Config) { c.TLSCert, c.TLSKey, c.TLSCA = s.files.Cert, s.files.Key, s.files.CA }
	s.start("http://127.0.0.1:1")
	s.login = seedOf(t, s.app.creds.SeedPath(natsd.UserAdmin))
	return s
}

// issue writes another certificate, which ends at some time from now.
func (s *secured) issue(serial int64, end time.Duration, hosts ...string) {
	s.t.Helper()
	now := time.Now()
	cert, key := s.ca.Issue(serial, now.Add(-100*time.Hour), now.Add(end), hosts...)
	s.ca.Write(s.files, cert, key)
}

// dial makes a new connection, and returns the serial number of what it was shown.
func (s *secured) dial() (nc *nats.Conn, serial int64, err error) {
	s.t.Helper()
	if nc, err = nats.Connect(s.app.natsURL(), s.login, nats.RootCAs(s.files.CA), nats.Timeout(rigPatience)); err != nil {
		return nil, 0, err
	}
	s.t.Cleanup(nc.Close)
	shown, err := nc.TLSConnectionState()
	if err != nil {
		s.t.Fatal(err)
	}
	return nc, shown.PeerCertificates[0].SerialNumber.Int64(), nil
}

// await waits for what the reconciler says of its certificate.
func (s *secured) await(step, text string) {
	s.t.Helper()
	for deadline := time.Now().Add(rigPatience); ; {
		got := checkCertificate(s.app, nil)
		if text == "" && got.State == checkOK || text != "" && strings.Contains(got.Text, text) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: the check is %+v, want %q", step, got, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// shows waits until new connections are shown another certificate.
func (s *secured) shows(want int64) {
	s.t.Helper()
	for deadline := time.Now().Add(rigPatience); ; {
		nc, serial, err := s.dial()
		if err == nil {
			nc.Close()
		}
		if serial == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("shown is certificate %d, %v; want %d", serial, err, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// The certificate of the embedded NATS is exchanged under a connection that lives; one that
// its clients would refuse never counts; one that has ended is told, and renewed without a
// restart.
func TestTheCertificateOfNATSIsReadAgain(t *testing.T) {
	s := newSecured(t)
	living, serial, err := s.dial()
	if err != nil || serial != 1 {
		t.Fatalf("certificate %d, %v", serial, err)
	}
	s.issue(2, 100*time.Hour)
	s.shows(2)
	s.issue(3, 100*time.Hour, "elsewhere.example")
	s.await("a certificate for another host", "is not for 127.0.0.1")
	stranger, now := tlstest.New(t), time.Now()
	cert, key := stranger.Issue(4, now.Add(-time.Hour), now.Add(time.Hour))
	s.ca.Write(s.files, cert, key)
	s.await("a certificate of another authority", "not an authority in --tls-ca")
	s.shows(2)
	s.issue(5, -time.Hour)
	s.await("one that has ended", "has ended at")
	if _, _, err := s.dial(); !kv.Untrusted(err) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a client is content with a certificate that has ended: %v", err)
	}
	s.issue(6, 100*time.Hour)
	s.await("one that was renewed", "")
	s.shows(6)
	if err := living.Flush(); err != nil || living.Stats().Reconnects != 0 || s.app.nc.Stats().Reconnects != 0 {
		t.Errorf("the connection from before: %v, %d reconnects; the reconciler's own %d", err, living.Stats().Reconnects, s.app.nc.Stats().Reconnects)
	}
}

// Nobody comes in without TLS, or goes on with a server of another authority; the agent and
// dynctl of this machine are given what they need.
func TestWhoDialsNATSWithTLS(t *testing.T) {
	s := newSecured(t)
	address := strings.TrimPrefix(s.app.natsURL(), "tls://")
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	reader := bufio.NewReader(plain)
	if info, err := reader.ReadString('\n'); err != nil || !strings.Contains(info, `"tls_required":true`) {
		t.Errorf("the server says %q, %v", info, err)
	}
	if _, err := io.WriteString(plain, "CONNECT {\"verbose\":false,\"user\":\"agent\",\"pass\":\""+s.app.creds.AgentPassword()+"\"}\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(reader); strings.Contains(string(rest), "PONG") {
		t.Errorf("a client without TLS is answered %q", rest)
	}

	stranger := tlstest.New(t)
	foreign := stranger.NewFiles(t.TempDir()).CA
	if nc, err := nats.Connect(s.app.natsURL(), s.login, nats.RootCAs(foreign)); !kv.Untrusted(err) {
		t.Errorf("a client that knows another authority: %v", err)
		nc.Close()
	}

	natsURL, creds := s.app.agentCreds()
	pool := x509.NewCertPool()
	if natsURL != "tls://"+address || !pool.AppendCertsFromPEM([]byte(creds["ca"])) {
		t.Fatalf("the agent dials %s with %v", natsURL, creds)
	}
	agent, err := nats.Connect(natsURL, nats.UserInfo(creds["user"], creds["password"]), nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	agent.Close()
}

// What is left for dynctl of this machine opens the store, with TLS and after a start without.
func TestTheContextOfAMachineWithTLS(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s := newSecured(t)
	ping := func() {
		t.Helper()
		s.app.leaveContext()
		c, err := kv.Connect(t.Context(), s.app.natsURL(), local.Options(s.app.natsURL())...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	}
	ping()
	if left, err := os.ReadFile(local.Authorities(s.app.cfg.DataDir)); err != nil || string(left) != s.ca.PEM {
		t.Errorf("beside the credentials lies %q, %v", left, err)
	}
	s.stop()
	s.configure = nil // a start without
	s.start("http://127.0.0.1:1")
	ping()
	if left := local.Authorities(s.app.cfg.DataDir); left != "" {
		t.Errorf("%s is still there", left)
	}
}

// startWith makes a reconciler with a certificate for some hosts, and ends it.
func startWith(t *testing.T, change func(*Config, tlstest.Files), hosts ...string) (*App, error) {
	t.Helper()
	ca, now := tlstest.New(t), time.Now()
	files := ca.NewFiles(t.TempDir())
	cert, key := ca.Issue(1, now.Add(-time.Hour), now.Add(100*time.Hour), hosts...)
	ca.Write(files, cert, key)
	cfg := Config{
		DataDir: t.TempDir(), Listen: "127.0.0.1:-1", HTTP: "127.0.0.1:0", RayAddress: "http://127.0.0.1:1", RayNamespace: "ns", ID: "x", StoreAuth: true,
		TLSCert: files.Cert, TLSKey: files.Key, TLSCA: files.CA,
	}
	change(&cfg, files)
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Cleanup(func() { _ = a.Close(context.WithoutCancel(t.Context())) })
	}
	return a, err
}

// Whether the embedded NATS speaks TLS, and why it does not start.
func TestCertificatesForNATS(t *testing.T) {
	for _, row := range []struct {
		name, host string
		change     func(*Config, tlstest.Files)
		tls        bool
		err        string
	}{
		{"with the authority", "127.0.0.1", func(*Config, tlstest.Files) {}, true, ""},
		{"for the host that is advertised alone", "nats.example", func(c *Config, _ tlstest.Files) { c.AdvertiseNATSURL = "nats://nats.example:4322" }, true, ""},
		{"for another host", "nats.example", func(*Config, tlstest.Files) {}, false, "is not for 127.0.0.1, under which the embedded NATS is dialled, but for nats.example"},
		{"an unknown authority on loopback", "127.0.0.1", func(c *Config, _ tlstest.Files) { c.TLSCA = "" }, false, ""},
		{"an unknown authority on loopback, and tls://", "127.0.0.1", func(c *Config, _ tlstest.Files) { c.TLSCA, c.AdvertiseNATSURL = "", "tls://127.0.0.1:1" }, false, "--tls-ca FILE"},
		{"an unknown authority elsewhere", "127.0.0.1", func(c *Config, _ tlstest.Files) { c.TLSCA, c.Listen = "", "0.0.0.0:-1" }, false, "--tls-ca FILE"},
		{"no authority in the file", "127.0.0.1", func(c *Config, f tlstest.Files) { c.TLSCA = f.Key }, false, "holds no certificate"},
		{"no file", "127.0.0.1", func(c *Config, _ tlstest.Files) { c.TLSCA = "nowhere" }, false, "--tls-ca: open nowhere"},
	} {
		a, err := startWith(t, row.change, row.host)
		switch {
		case row.err != "":
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s: %v, want %q", row.name, err, row.err)
			}
		case err != nil || a.natsTLS != row.tls:
			t.Errorf("%s: TLS %v, %v", row.name, a.natsTLS, err)
		case row.host == "nats.example":
			if got := a.contextURL(); got != "tls://nats.example:4322" {
				t.Errorf("%s: the context dials %s", row.name, got)
			}
		}
	}
	if _, err := ParseFlags([]string{"--tls-ca", "x"}, io.Discard); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("an authority of nothing: %v", err)
	}
}

// cancelling ends a context once something is logged.
type cancelling struct {
	text   string
	cancel context.CancelFunc
}

func (c cancelling) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cancel()
	}
	return len(p), nil
}

// An external NATS is checked against the same authorities, here and by the agent.
func TestAnExternalNATSWithTLS(t *testing.T) {
	ca, now := tlstest.New(t), time.Now()
	files := ca.NewFiles(t.TempDir())
	cert, key := ca.Issue(1, now.Add(-time.Hour), now.Add(100*time.Hour))
	ca.Write(files, cert, key)
	own, err := door.OpenCertificate(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), TLS: own.Config()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	external := func(c *Config, _ tlstest.Files) {
		c.NATSURL, c.TLSCA, c.TLSCert, c.TLSKey = server.URL(), files.CA, "", ""
	}
	a, err := startWith(t, external)
	if err != nil {
		t.Fatal(err)
	}
	if _, creds := a.agentCreds(); creds["ca"] != ca.PEM {
		t.Errorf("the agent gets %v", creds)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slog.New(slog.NewTextHandler(cancelling{"does not prove what it is", cancel}, nil))
	foreign := tlstest.New(t).NewFiles(t.TempDir()).CA
	if _, err := New(ctx, Config{DataDir: t.TempDir(), NATSURL: server.URL(), TLSCA: foreign, HTTP: "127.0.0.1:0", RayAddress: "http://127.0.0.1:1", RayNamespace: "ns", ID: "y"}, log); !kv.Untrusted(err) {
		t.Errorf("with another authority: %v", err)
	}
}
