// Package natsdtest gives a test a NATS of its own, as net/http/httptest gives a server.
package natsdtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd"
)

// Start runs an embedded NATS on a free port of 127.0.0.1 until the test ends.
func Start(t testing.TB) *natsd.Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	server, err := natsd.Start(natsd.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Connect is Start with a connection to it.
func Connect(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := Start(t).Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
