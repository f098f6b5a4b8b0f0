package natsd_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv/natsd"
	"dynctl/state/kv/tlstest"
)

// heard are the lines of a log as they come.
type heard chan string

func (h heard) Write(p []byte) (int, error) {
	h <- string(p)
	return len(p), nil
}

// Clients that do not accept the certificate are told of once, with what to do, and not
// each time that they try.
func TestAHandshakeThatFailsIsTold(t *testing.T) {
	ca := tlstest.New(t)
	log := make(heard, 16)
	server, err := natsd.Start(natsd.Options{
		Port: -1, StoreDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil)),
		TLS: ca.Server(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := context.WithoutCancel(t.Context())
	t.Cleanup(func() { _ = server.Shutdown(stop) })
	foreign := tlstest.New(t).NewFiles(t.TempDir()).CA
	for range 3 {
		if _, err := nats.Connect(server.URL(), nats.RootCAs(foreign)); !errors.Is(err, nats.ErrTLS) {
			t.Errorf("with another authority: %v", err)
		}
	}
	select {
	case said := <-log:
		if !strings.Contains(said, "does not accept the certificate") || !strings.Contains(said, "give it the authority") {
			t.Errorf("the log says %s", said)
		}
	case <-time.After(time.Minute):
		t.Error("the log says nothing")
	}
	if err := server.Shutdown(stop); err != nil {
		t.Fatal(err)
	}
	if len(log) > 0 {
		t.Errorf("and then %s", <-log)
	}
}
