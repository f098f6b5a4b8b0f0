package kv

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

func TestSpecsShowHeadersAndMarkers(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	c, ctx := New(js), t.Context()
	kv := must(js.KeyValue(ctx, BucketSpecs))(t)
	after := func(do func(key string) error) func(key string) error {
		return func(key string) error {
			_, err := kv.Put(ctx, key, []byte("v"))
			return errors.Join(err, do(key))
		}
	}
	rows := []struct {
		name string
		do   func(key string) error
		want SpecEntry
	}{
		{"put by another tool", func(key string) error { _, err := kv.Put(ctx, key, []byte("v")); return err },
			SpecEntry{Value: []byte("v")}},
		{"put by dynctl", func(key string) error {
			_, err := c.PutSpec(ctx, must(state.ParseKey(key))(t), []byte("v"), PutOptions{Author: "ann", Comment: "why"})
			return err
		}, SpecEntry{Value: []byte("v"), Author: "ann", Comment: "why"}},
		{"delete by another tool", after(func(key string) error { return kv.Delete(ctx, key) }), SpecEntry{Deleted: true}},
		{"purge by another tool", after(func(key string) error { return kv.Purge(ctx, key) }), SpecEntry{Deleted: true}},
		{"delete by dynctl", after(func(key string) error {
			_, err := c.DeleteSpec(ctx, must(state.ParseKey(key))(t), DeleteOptions{Author: "bob"})
			return err
		}), SpecEntry{Deleted: true, DeleteNow: true, Author: "bob"}},
	}
	check := func(w *watched, name, key string, want SpecEntry) {
		t.Helper()
		w.until(name, func() bool {
			got, ok := w.spec(key)
			return ok && got.Deleted == want.Deleted && got.DeleteNow == want.DeleteNow && got.Author == want.Author &&
				got.Comment == want.Comment && string(got.Value) == string(want.Value) && got.Revision > 0 && !got.At.IsZero()
		})
	}
	w := watch(t, js)
	for i, row := range rows {
		key := fmt.Sprintf("model.default.m%d", i)
		if err := row.do(key); err != nil {
			t.Fatal(err)
		}
		check(w, row.name, key, row.want)
	}
	later := watch(t, js)
	later.synced()
	for i, row := range rows {
		check(later, row.name+", loaded later", fmt.Sprintf("model.default.m%d", i), row.want)
	}
	if n := len(later.Specs().Entries); n != len(rows) {
		t.Errorf("%d entries, want %d: the store id is none", n, len(rows))
	}
	if later.StoreID() == "" || later.StoreID() != must(c.StoreID(ctx))(t) {
		t.Errorf("store id %q", later.StoreID())
	}
	rev := must(c.ConfirmDeletions(ctx, "default", "ann"))(t)
	w.until("the confirmation", func() bool { return w.Specs().Confirmed["default"] == rev })
}

func TestTenThousandKeys(t *testing.T) {
	const n = 10_000
	js := newStore(t).ready()
	for i := range n {
		_, err := js.PublishAsync(subject(BucketSpecs, fmt.Sprintf("model.default.m%d", i)), []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	w := watch(t, js)
	start := time.Now()
	w.synced()
	t.Logf("%d keys loaded in %s", n, time.Since(start))
	if got := len(w.Specs().Entries); got != n {
		t.Errorf("%d entries when synced, want %d", got, n)
	}
}

func TestPutToSnapshotLatency(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	w := watch(t, js)
	w.synced()
	var worst, total time.Duration
	const n = 200
	for i := range n {
		start := time.Now()
		rev := must(c.PutSpec(ctx, state.ServerKey("default"), fmt.Append(nil, i), PutOptions{}))(t)
		w.until("the put", func() bool { e, _ := w.spec("server.default"); return e.Revision >= rev })
		d := time.Since(start)
		worst, total = max(worst, d), total+d
	}
	t.Logf("put to snapshot: mean %s, worst %s", total/n, worst)
	if worst > time.Second {
		t.Errorf("a put took %s to be seen", worst)
	}
}

func TestRestartOfTheServerKeepsTheSnapshot(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	c, ctx := New(js), t.Context()
	must(c.PutSpec(ctx, state.ServerKey("a"), []byte("1"), PutOptions{}))(t)
	w := watch(t, js)
	w.synced()
	for round := range 3 {
		st.stop()
		if _, ok := w.spec("server.a"); !ok || !w.Specs().Synced || w.Health().Connected {
			t.Fatalf("while NATS is away: found %v, synced %v, health %+v", ok, w.Specs().Synced, w.Health())
		}
		st.start()
		other := st.dial() // writes before the views are back
		rev := must(New(other).PutSpec(ctx, state.ServerKey("b"), fmt.Append(nil, round), PutOptions{}))(t)
		w.until("what was written meanwhile", func() bool { e, _ := w.spec("server.b"); return e.Revision == rev })
		w.until("connected again", func() bool { return w.Health().Connected })
	}
}

// The bucket is gone, or is another one: nothing was deleted.
func TestLossOfTheSpecBucket(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	c, ctx := New(js), t.Context()
	key := state.ServerKey("a")
	rev := must(c.PutSpec(ctx, key, []byte("1"), PutOptions{}))(t)
	must(c.PutStatus(ctx, state.Status{Kind: state.KindServer, Server: "a", ObservedRevision: rev}))(t)
	w := watch(t, js)
	w.synced()
	id, created := w.StoreID(), w.Specs().Created
	must(c.ConfirmDeletions(ctx, "a", ""))(t)
	w.until("confirmed", func() bool { return w.Specs().Confirmed["a"] > 0 })

	t.Run("purged", func(t *testing.T) {
		s := must(js.Stream(ctx, streamName(BucketSpecs)))(t)
		if err := s.Purge(ctx); err != nil {
			t.Fatal(err)
		}
		st.restart(js) // reloads
		rev := must(c.PutSpec(ctx, state.ServerKey("b"), []byte("1"), PutOptions{}))(t)
		w.until("a put after the purge", func() bool { e, _ := w.spec("server.b"); return e.Revision == rev })
		w.until("connected", func() bool { return w.Health().Connected })
		if e, ok := w.spec(key.String()); !ok || e.Deleted {
			t.Errorf("a purged key: %+v, there %v", e, ok)
		}
	})
	t.Run("deleted and made again", func(t *testing.T) {
		if err := js.DeleteStream(ctx, streamName(BucketSpecs)); err != nil {
			t.Fatal(err)
		}
		w.until("the new bucket", func() bool { s := w.Specs(); return s.Synced && !s.Created.Equal(created) })
		if e, ok := w.spec(key.String()); !ok || e.Deleted || e.Revision != rev {
			t.Errorf("an entry of the lost bucket: %+v, there %v", e, ok)
		}
		if len(w.Specs().Confirmed) > 0 {
			t.Errorf("a confirmation for the lost bucket holds: %v", w.Specs().Confirmed)
		}
		if now := must(c.StoreID(ctx))(t); now != id || w.StoreID() != id {
			t.Errorf("store id was %s, is %s", id, now)
		}
		again := must(c.PutSpec(ctx, key, []byte("2"), PutOptions{}))(t)
		if again <= rev {
			t.Errorf("revision %d in the new bucket is not above %d", again, rev)
		}
		w.until("the new revision", func() bool { e, _ := w.spec(key.String()); return e.Revision == again })
	})
}

func TestLossOfTheStatusBucket(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	s := state.Status{Kind: state.KindServer, Server: "a", Generation: "1a2b3c4d"}
	must(c.PutStatus(ctx, s))(t)
	w := watch(t, js)
	w.until("the status", func() bool { m, ok := w.statuses(); return ok && m["server.a"].Revision > 0 })
	if err := js.DeleteStream(ctx, streamName(BucketStatus)); err != nil {
		t.Fatal(err)
	}
	w.until("the status at revision 0", func() bool {
		m, ok := w.statuses()
		return ok && m["server.a"].Revision == 0 && m["server.a"].Generation == "1a2b3c4d"
	})
	m, _ := w.statuses()
	rev := must(c.PutStatus(ctx, m["server.a"]))(t)
	w.until("the status written again", func() bool { m, _ := w.statuses(); return m["server.a"].Revision == rev })
}

// A watch may stop in silence; here its consumer is taken away.
func TestLossOfTheConsumers(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	w := watch(t, js)
	w.synced()
	s := must(js.Stream(ctx, streamName(BucketSpecs)))(t)
	for name := range s.ConsumerNames(ctx).Name() {
		if err := s.DeleteConsumer(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	rev := must(c.PutSpec(ctx, state.ServerKey("a"), []byte("1"), PutOptions{}))(t)
	w.until("the put", func() bool { e, _ := w.spec("server.a"); return e.Revision == rev })
}

// follow finds a stream that has moved on while nothing arrives, and says so
// only when it is seen twice; what was removed from the stream is no reason.
func TestSilentWatchIsFound(t *testing.T) {
	js := newStore(t).ready()
	ctx := t.Context()
	m := newMirror(js, mirrorConfig[struct{}]{bucket: BucketSpecs, kick: func() {}})
	info := must(js.Stream(ctx, streamName(BucketSpecs)))(t).CachedInfo()
	m.begin(info.Created)
	s := &session[struct{}]{m: m, fresh: map[string]item[struct{}]{}, failed: make(chan error, 1), target: info.State.LastSeq}
	s.finish()
	if behind, _, err := s.verify(ctx); behind || err != nil {
		t.Errorf("complete: behind %v, %v", behind, err)
	}
	must(New(js).PutSpec(ctx, state.ServerKey("a"), []byte("1"), PutOptions{}))(t)
	if behind, _, err := s.verify(ctx); !behind || err != nil {
		t.Errorf("one behind: behind %v, %v", behind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.follow(ctx, nil); ctx.Err() != nil || err == nil {
		t.Errorf("a silent watch: %v", err)
	}
}

func TestStoreIDIsMadeOnce(t *testing.T) {
	st := newStore(t)
	ids := make(chan string, 16)
	for range cap(ids) {
		js := st.dial()
		go func() {
			id, err := EnsureBuckets(context.Background(), js)
			if err != nil {
				t.Error(err)
			}
			ids <- id
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first || id == "" {
			t.Errorf("store ids %q and %q", first, id)
		}
	}
}

func TestHistoryOfAForeignBucketIsRaised(t *testing.T) {
	js := newStore(t).dial()
	ctx := t.Context()
	if _, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: BucketSpecs, History: 1}); err != nil {
		t.Fatal(err)
	}
	must(EnsureBuckets(ctx, js))(t)
	if h := must(js.Stream(ctx, streamName(BucketSpecs)))(t).CachedInfo().Config.MaxMsgsPerSubject; h != HistoryDepth {
		t.Errorf("history %d", h)
	}
}
