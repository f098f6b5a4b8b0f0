package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/kv/tlstest"
)

// storeWithTLS is a client of a NATS whose certificate ends at some time from now, and what
// reconcilers answer there is said by another.
func storeWithTLS(t *testing.T, end time.Duration) (client *kv.Client, reconciler *nats.Conn) {
	t.Helper()
	ca := tlstest.New(t)
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), TLS: ca.Server(end)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	trust := nats.RootCAs(ca.NewFiles(t.TempDir()).CA)
	if client, err = kv.Connect(t.Context(), server.URL(), trust); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if reconciler, err = nats.Connect(server.URL(), trust); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reconciler.Close)
	return client, reconciler
}

// A certificate that ends soon is told, as NATS shows it and as its reconciler sees it.
func TestCertificate(t *testing.T) {
	told := func(client *kv.Client) (text string) {
		t.Helper()
		for _, f := range examine(t, client, 0) {
			if f.Check == CheckNATS && f.Result == Warn {
				text += f.Message + "; next: " + f.Next
			}
		}
		return text
	}
	soon, _ := storeWithTLS(t, time.Hour)
	if got := told(soon); !strings.Contains(got, " ends at ") || !strings.Contains(got, "renew") {
		t.Errorf("of one that ends in an hour: %q", got)
	}
	later, reconciler := storeWithTLS(t, 50*time.Hour)
	if got := told(later); got != "" {
		t.Errorf("of one that has a third of its life before it: %q", got)
	}
	answer := `{"state": "degraded", "checks": [{"name": "certificate", "state": "degraded", "text": "the files do not count"}]}`
	if _, err := reconciler.Subscribe(kv.SubjectChecks, func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
		t.Fatal(err)
	}
	if err := reconciler.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := told(later); !strings.Contains(got, "the files do not count") || !strings.Contains(got, "--tls-cert") {
		t.Errorf("what the reconciler says: %q", got)
	}
}
