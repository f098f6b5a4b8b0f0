package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// TestADamagedStoreEndsTheReconciler: it ends with a code of its own and says which
// file and what to do; the store stays as it is.
func TestADamagedStoreEndsTheReconciler(t *testing.T) {
	dir := t.TempDir()
	meta := filepath.Join(dir, "nats", "jetstream", "$G", "streams", "KV_dynctl_specs", "meta.inf")
	makeStore(t, filepath.Join(dir, "nats"))
	if err := os.WriteFile(meta, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--data-dir", dir, "--http", "127.0.0.1:0"}, &stdout, &stderr)
	if code != exitStoreBroken {
		t.Errorf("exit code %d, want %d", code, exitStoreBroken)
	}
	for _, want := range []string{meta, "--repair", "dynctl restore"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %s in:\n%s", want, stderr.String())
		}
	}
	if info, err := os.Stat(meta); err != nil || info.Size() != 0 {
		t.Errorf("meta.inf was touched: %v %v", info, err)
	}
}

// makeStore makes a store with its buckets.
func makeStore(t *testing.T, dir string) {
	t.Helper()
	s, err := natsd.Start(natsd.Options{StoreDir: dir, Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
