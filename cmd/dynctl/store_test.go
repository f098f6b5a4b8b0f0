package main

import (
	"testing"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// newStore is a store of its own, to which dynctl connects by itself.
func newStore(t *testing.T) *kv.Client {
	t.Helper()
	server := natsdtest.Start(t)
	client, err := kv.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kv.EnsureBuckets(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	t.Setenv(envNATSURL, server.URL())
	return client
}
