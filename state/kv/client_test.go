package kv

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"dynctl/state"
)

// A write names the revision that it replaces; 0 is none, also after a delete.
func TestSpecsAreWrittenByRevision(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	key := state.ModelKey("default", "qwen3-8b.v2")
	zero := uint64(0)
	rev := must(c.PutSpec(ctx, key, []byte("a"), PutOptions{IfRevision: &zero, Author: "ann", Comment: "two\nlines"}))(t)
	e := must(c.GetSpec(ctx, key))(t)
	if e.At.IsZero() {
		t.Error("it was written at no time")
	}
	want := SpecEntry{Key: key.String(), Revision: rev, Value: []byte("a"), Size: 1, Author: "ann", Comment: "two lines", At: e.At}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("read back %+v, want %+v", e, want)
	}
	if _, err := c.PutSpec(ctx, key, []byte("b"), PutOptions{IfRevision: &zero}); !errors.Is(err, ErrConflict) {
		t.Errorf("create over an existing one: %v", err)
	}
	wrong := rev + 7
	if _, err := c.DeleteSpec(ctx, key, DeleteOptions{IfRevision: &wrong}); !errors.Is(err, ErrConflict) {
		t.Errorf("delete at a wrong revision: %v", err)
	}
	rev2 := must(c.PutSpec(ctx, key, []byte("b"), PutOptions{IfRevision: &rev}))(t)
	rev3 := must(c.DeleteSpec(ctx, key, DeleteOptions{IfRevision: &rev2, Author: "bob"}))(t)
	if _, err := c.GetSpec(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Errorf("read of a deleted one: %v", err)
	}
	if _, err := c.DeleteSpec(ctx, key, DeleteOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("second delete: %v", err)
	}
	rev4 := must(c.PutSpec(ctx, key, []byte("c"), PutOptions{IfRevision: &zero}))(t)
	h := must(c.SpecHistory(ctx, key))(t)
	if len(h) != 4 || h[2].Revision != rev3 || h[3].Revision != rev4 {
		t.Fatalf("history %+v", h)
	}
	if d := h[2]; !d.Deleted || !d.DeleteNow || d.Author != "bob" {
		t.Errorf("the delete is %+v", d)
	}
}

// What is no spec is not listed beside them, and no other key is written.
func TestSpecsAreTheirKeys(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	key := state.ModelKey("default", "qwen3-8b.v2")
	must(c.PutSpec(ctx, key, []byte("c"), PutOptions{}))(t)
	if _, err := c.SpecHistory(ctx, state.ServerKey("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("history of nothing: %v", err)
	}
	must(c.PutSpec(ctx, state.ServerKey("default"), []byte("s"), PutOptions{}))(t)
	must(c.ConfirmDeletions(ctx, "default", "ann"))(t)
	list := must(c.ListSpecs(ctx))(t)
	if len(list) != 2 || list[0].Key != "server.default" || list[1].Key != key.String() {
		t.Errorf("list %+v", list)
	}
	for _, bad := range []state.Key{state.ModelKey("default", "a..b"), state.ModelKey("Default", "a"), state.ServerKey("a.b"), {}} {
		if _, err := c.PutSpec(ctx, bad, []byte("x"), PutOptions{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

// A value over the contract's bound has to arrive, to be rejected with a reason.
func TestLargeValues(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	key := state.ServerKey("big")
	big := bytes.Repeat([]byte("x"), 5<<20)
	must(c.PutSpec(ctx, key, big, PutOptions{}))(t)
	if e := must(c.GetSpec(ctx, key))(t); len(e.Value) != len(big) {
		t.Errorf("%d bytes came back", len(e.Value))
	}
	if _, err := c.PutSpec(ctx, key, bytes.Repeat(big, 2), PutOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("over the payload of the server: %v", err)
	}
}

func TestClientStatus(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	s := state.Status{Key: "model.default.a", Kind: state.KindModel, Server: "default", Name: "a", Generation: "1a2b3c4d"}
	key := state.ModelKey("default", "a")
	if _, err := c.GetStatus(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
	s.Revision = must(c.PutStatus(ctx, s))(t)
	got := must(c.GetStatus(ctx, key))(t)
	if got.Revision != s.Revision || got.Generation != s.Generation {
		t.Errorf("read back %+v", got)
	}
	stale := s
	stale.Revision = 0
	if _, err := c.PutStatus(ctx, stale); !errors.Is(err, ErrConflict) {
		t.Errorf("create over an existing one: %v", err)
	}
	s.Revision = must(c.PutStatus(ctx, s))(t)
	stale.Revision = s.Revision - 1
	if _, err := c.PutStatus(ctx, stale); !errors.Is(err, ErrConflict) {
		t.Errorf("write at an old revision: %v", err)
	}
	if list := must(c.ListStatuses(ctx))(t); len(list) != 1 {
		t.Errorf("list %+v", list)
	}
	for range 2 {
		if err := c.DeleteStatus(ctx, key); err != nil {
			t.Error(err)
		}
	}
	stale.Revision = 0
	must(c.PutStatus(ctx, stale))(t) // a delete marker is not in the way
}

func TestWatchStatuses(t *testing.T) {
	st := newStore(t)
	c, ctx := New(st.ready()), t.Context()
	put := func(name string, rev uint64) uint64 {
		return must(c.PutStatus(ctx, state.Status{Kind: state.KindModel, Server: "default", Name: name, Revision: rev}))(t)
	}
	rev := put("a", 0)
	step := 0
	for change, err := range c.WatchStatuses(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		switch step++; step {
		case 1:
			if change.Key.Name != "a" || !change.Initial || change.Status.Revision != rev {
				t.Errorf("first: %+v", change)
			}
			put("b", 0)
		case 2:
			if change.Key.Name != "b" || change.Initial {
				t.Errorf("second: %+v", change)
			}
			st.restart(c.js)
			if err := c.DeleteStatus(ctx, change.Key); err != nil {
				t.Fatal(err)
			}
		case 3:
			if change.Key.Name != "b" || !change.Deleted {
				t.Errorf("third: %+v", change)
			}
		}
		if step == 3 {
			break
		}
	}
}

func TestErrorsOfAnAbsentStore(t *testing.T) {
	st := newStore(t)
	ctx := t.Context()
	key := state.ServerKey("default")
	c := must(Connect(ctx, st.srv.URL()))(t)
	calls := func() map[string]error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		errs := map[string]error{}
		_, errs["put"] = c.PutSpec(ctx, key, nil, PutOptions{})
		_, errs["get"] = c.GetSpec(ctx, key)
		_, errs["delete"] = c.DeleteSpec(ctx, key, DeleteOptions{})
		_, errs["list"] = c.ListSpecs(ctx)
		_, errs["history"] = c.SpecHistory(ctx, key)
		_, errs["status"] = c.GetStatus(ctx, key)
		_, errs["statuses"] = c.ListStatuses(ctx)
		_, errs["units"] = c.ListUnits(ctx)
		_, errs["agent"] = c.GetAgent(ctx)
		_, errs["leader"] = c.GetLeader(ctx)
		_, errs["confirm"] = c.ConfirmDeletions(ctx, "default", "")
		errs["ping"] = c.Ping(ctx)
		for _, err := range c.WatchStatuses(ctx) {
			errs["watch"] = err
		}
		return errs
	}
	for name, err := range calls() {
		if !errors.Is(err, ErrNotAStore) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s without a store: %v", name, err)
		}
	}
	st.stop()
	for name, err := range calls() {
		if !errors.Is(err, ErrUnreachable) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s without NATS: %v", name, err)
		}
	}
	c.Close()
	if _, err := Connect(ctx, "nats://me:secret@127.0.0.1:1"); !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("connect: %v", err)
	}
}
