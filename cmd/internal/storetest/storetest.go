// Package storetest gives a test of dynctl a spec store of its own.
package storetest

import (
	"testing"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// New is a client of a new store, with its buckets and its stream of events, and the URL
// of its NATS. Both end with the test.
func New(t testing.TB) (client *kv.Client, url string) {
	t.Helper()
	url = natsdtest.Start(t).URL()
	client, err := kv.Connect(t.Context(), url)
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
	return client, url
}
