// Package batchestest gives a test streams that take batches, and streams that do not.
package batchestest

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Allow has a stream take batches or not, as with a server before 2.12.
func Allow(t *testing.T, js jetstream.JetStream, stream string, takes bool) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.AllowAtomicPublish = takes
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}
