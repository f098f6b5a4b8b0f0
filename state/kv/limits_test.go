package kv

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// A full bucket refuses what is new and names the flag; what is there stays, can be
// read, written over with less and deleted, and with more room it takes more.
func TestAFullStoreRefusesWhatIsNew(t *testing.T) {
	js := newStore(t).dial()
	limits := Limits{SpecBytes: 1 << 20, StatusBytes: 1 << 20}
	must(EnsureBuckets(t.Context(), js, limits))(t)
	c := New(js)
	key := func(i int) state.Key { return state.ModelKey("default", fmt.Sprint("m", i)) }
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		_, err = c.PutSpec(t.Context(), key(n), bytes.Repeat([]byte("x"), 100_000), PutOptions{})
	}
	if !errors.Is(err, ErrFull) || !bytes.Contains([]byte(err.Error()), []byte("--max-spec-bytes")) {
		t.Fatalf("after %d: %v", n, err)
	}
	n-- // the last one was refused
	specs := must(c.ListSpecs(t.Context()))(t)
	if len(specs) != n {
		t.Errorf("%d specs of %d", len(specs), n)
	}
	if _, err := c.DeleteSpec(t.Context(), key(0), DeleteOptions{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := c.GetSpec(t.Context(), key(0)); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	e := must(last(t.Context(), js, BucketSpecs, key(0).String()))(t)
	if !e.deleted {
		t.Error("no marker")
	}
	if _, err := c.PutSpec(t.Context(), key(1), []byte("small"), PutOptions{}); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	limits.SpecBytes = 2 << 20
	must(EnsureBuckets(t.Context(), js, limits))(t)
	for i := range 5 {
		must(c.PutSpec(t.Context(), key(2000+i), bytes.Repeat([]byte("x"), 100_000), PutOptions{}))(t)
	}
}

// History makes room for itself: writing one object over and over never fills a
// bucket.
func TestHistoryDoesNotFillTheStore(t *testing.T) {
	js := newStore(t).dial()
	must(EnsureBuckets(t.Context(), js, Limits{StatusBytes: 1 << 20}))(t)
	c := New(js)
	revision := uint64(0)
	for i := range 50 {
		st := state.Status{Key: "model.default.m", Kind: "Model", Server: "default", Name: "m", Endpoint: string(bytes.Repeat([]byte("x"), 400_000)), Revision: revision}
		var err error
		if revision, err = c.PutStatus(t.Context(), st); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
}

// What an operator has set counts.
func TestBoundsOfTheOperatorStay(t *testing.T) {
	js := newStore(t).ready()
	s := must(js.Stream(t.Context(), streamName(BucketSpecs)))(t)
	cfg := s.CachedInfo().Config
	if cfg.MaxBytes != DefaultLimits.SpecBytes {
		t.Errorf("MaxBytes is %d", cfg.MaxBytes)
	}
	cfg.MaxBytes = 5 << 20
	must(js.UpdateStream(t.Context(), cfg))(t)
	must(EnsureBuckets(t.Context(), js, Limits{SpecBytes: 3 << 20}))(t)
	s = must[jetstream.Stream](js.Stream(t.Context(), streamName(BucketSpecs)))(t)
	if got := s.CachedInfo().Config.MaxBytes; got != 5<<20 {
		t.Errorf("MaxBytes is %d", got)
	}
}
