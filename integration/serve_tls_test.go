//go:build integration

package integration

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv"
	credential "dynctl/state/kv/local"
	"dynctl/state/kv/tlstest"
)

// overTLS is the reconciler with a certificate of an authority that the test alone knows.
type overTLS struct {
	*Env
	t     *testing.T
	ca    *tlstest.Authority
	files tlstest.Files
}

// toTLSAndBack starts the reconciler with TLS, exchanges its certificate for others while
// the agent is connected, and starts it as it was.
func (e *Env) toTLSAndBack(t *testing.T) {
	ca := tlstest.New(t)
	o := &overTLS{Env: e, t: t, ca: ca, files: ca.NewFiles(t.TempDir())}
	o.issue(1, 100*time.Hour)
	before := e.Agent(t)
	e.restartWith(t, storeClosed, "--tls-cert="+o.files.Cert, "--tls-key="+o.files.Key, "--tls-ca="+o.files.CA)
	defer func() {
		during := e.Agent(t)
		e.restartWith(t, append([]string{storeClosed}, withoutTLS...)...)
		e.awaitAgent(t, during.Incarnation, readyIn)
	}()
	o.says("it is ready", http.StatusOK, "")
	e.awaitAgent(t, before.Incarnation, readyIn)
	agent := e.Agent(t)
	if nc, err := nats.Connect(e.natsURL()); !kv.Untrusted(err) {
		t.Errorf("a stranger who does not know the authority: %v", err)
		nc.Close()
	}
	e.run(t, "", "get", "models") // by the context of this machine alone
	o.shows(1)

	o.issue(2, 100*time.Hour)
	o.shows(2)
	o.issue(3, time.Hour)
	o.says("one that ends soon is told", http.StatusOK, "ends at ")
	o.issue(4, -time.Hour)
	o.says("one that has ended is told", http.StatusOK, "has ended at ")
	if _, said, code := e.Exec(t, "", "get", "models"); code != 6 || !strings.Contains(said, "its certificate has ended") {
		t.Errorf("dynctl on a certificate that has ended: exit code %d: %s", code, said)
	}
	o.issue(5, 100*time.Hour)
	o.shows(5)
	if now := e.Agent(t); now.PID != agent.PID || now.Incarnation != agent.Incarnation {
		t.Errorf("the agent was pid %d, and is pid %d", agent.PID, now.PID)
	}
}

// issue writes another certificate, which ends at some time from now.
func (o *overTLS) issue(serial int64, end time.Duration) {
	o.t.Helper()
	cert, key := o.ca.Issue(serial, time.Now().Add(-100*time.Hour), time.Now().Add(end))
	o.ca.Write(o.files, cert, key)
}

// shows waits until whoever dials NATS as dynctl of this machine does is shown that
// certificate, and let in.
func (o *overTLS) shows(serial int64) {
	o.t.Helper()
	Eventually(o.t, 20*time.Second, "another certificate is in force", func() bool {
		nc, err := nats.Connect(o.natsURL(), credential.Options(o.natsURL())...)
		if err != nil {
			return false
		}
		defer nc.Close()
		shown, err := nc.TLSConnectionState()
		return err == nil && shown.PeerCertificates[0].SerialNumber.Int64() == serial
	})
}

// says waits for what /readyz says, whatever its certificate.
func (o *overTLS) says(what string, code int, text string) {
	o.t.Helper()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // one that has ended is looked at, too
		DisableKeepAlives: true,
	}}
	url := strings.Replace(o.Stack.HTTPURL(), "http://", "https://", 1) + "/readyz?verbose"
	Eventually(o.t, 2*time.Minute, what, func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == code && strings.Contains(string(body), text)
	})
}
