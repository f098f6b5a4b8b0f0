package main

import (
	"testing"

	"dynctl/cmd/internal/storetest"
	"dynctl/state/kv"
)

// newStore is a store of its own, to which dynctl connects by itself.
func newStore(t *testing.T) *kv.Client {
	t.Helper()
	client, url := storetest.New(t)
	t.Setenv(envNATSURL, url)
	return client
}
