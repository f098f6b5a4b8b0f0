package kv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// overwrite puts keys, and writes some of them again and again until the test ends.
func overwrite(t *testing.T, js jetstream.JetStream, keys []string, again int) {
	t.Helper()
	bucket := must(js.KeyValue(t.Context(), BucketObserved))(t)
	for _, key := range keys {
		must(bucket.PutString(t.Context(), key, "{}"))(t)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(done)
		<-ended
	})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := js.Publish(t.Context(), subject(BucketObserved, keys[n%again]), []byte("{}")); err != nil {
				if t.Context().Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	}()
}

// What is written again while a bucket is read is not missing from it: NATS then has
// nothing under way for a moment, neither the old value nor the new one.
func TestReadWhileWritten(t *testing.T) {
	js := newStore(t).ready()
	keys := []string{"unit.default.a", "unit.default.b"}
	for n := range 10 {
		keys = append(keys, fmt.Sprintf("unit.default.u%d", n))
	}
	overwrite(t, js, keys, 2)
	missing := func(found []string) {
		t.Helper()
		for _, key := range keys {
			if !slices.Contains(found, key) {
				t.Errorf("%s is missing", key)
			}
		}
	}
	for range 800 {
		entries := must(scan(t.Context(), js, BucketObserved, ">", false))(t)
		var found []string
		for _, e := range entries {
			found = append(found, e.key)
		}
		missing(found)
	}
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		loaded := make(chan []string, 1)
		var m *mirror[struct{}]
		m = newMirror(js, mirrorConfig[struct{}]{bucket: BucketObserved, kick: func() {
			if items, synced, _ := m.snapshot(); synced {
				select {
				case loaded <- slices.Collect(maps.Keys(items)):
				default:
				}
			}
		}})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			m.run(ctx)
		}()
		missing(<-loaded)
		cancel()
		<-ended
	}
}

// What is written once more between the making of a reader and its first question wakes
// nobody: the read neither waits for it in vain nor ends without it.
func TestReadAfterABurst(t *testing.T) {
	js := newStore(t).ready()
	bucket := must(js.KeyValue(t.Context(), BucketObserved))(t)
	keys := []string{"unit.default.a", "unit.default.b", "unit.default.c"}
	for _, key := range keys {
		must(bucket.PutString(t.Context(), key, "{}"))(t)
	}
	for range 60 {
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, key := range keys[1:] {
				must(js.PublishAsync(subject(BucketObserved, key), []byte("{}")))(t)
			}
		})
		began := time.Now()
		entries := must(scan(t.Context(), js, BucketObserved, ">", false))(t)
		found := map[string]bool{}
		for _, e := range entries {
			found[e.key] = true
		}
		if len(found) != len(keys) {
			t.Errorf("only %v after %s", found, time.Since(began))
		}
		wg.Wait()
	}
}
