package kv

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"dynctl/events/batches/batchestest"
	"dynctl/state"
)

// someStatuses are those of n models, at the revisions that are stored of them.
func someStatuses(n int, revisions []uint64, generation string) []state.Status {
	out := make([]state.Status, n)
	for i := range out {
		name := fmt.Sprintf("m%03d", i)
		out[i] = state.Status{Key: "model.default." + name, Kind: state.KindModel, Server: "default", Name: name, Generation: generation}
		if revisions != nil {
			out[i].Revision = revisions[i]
		}
	}
	return out
}

// revisionsOf fails unless all were written.
func revisionsOf(t *testing.T, puts []Put) (out []uint64) {
	t.Helper()
	for i, p := range puts {
		if p.Err != nil || p.Revision == 0 {
			t.Fatalf("status %d: %+v", i, p)
		}
		out = append(out, p.Revision)
	}
	return out
}

// stand fails unless these statuses stand in the store at these revisions.
func stand(t *testing.T, c *Client, want []state.Status, revisions []uint64) {
	t.Helper()
	got, err := c.ListStatuses(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d statuses, want %d: %v", len(got), len(want), err)
	}
	for i, s := range got {
		if s.Name != want[i].Name || s.Generation != want[i].Generation || s.Revision != revisions[i] {
			t.Errorf("%s of generation %q at %d, want generation %q at %d", s.Name, s.Generation, s.Revision, want[i].Generation, revisions[i])
		}
	}
}

// batchesIn counts the keys that were written in a batch.
func batchesIn(t *testing.T, js jetstream.JetStream) (n int) {
	t.Helper()
	entries, err := scan(t.Context(), js, BucketStatus, "model.>", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n += count(e.header.Get(jetstreamext.BatchIDHeader) != "")
	}
	return n
}

// What is written together is what each write by itself would have been, also after a
// restart, and the next write of each goes by its own revision.
func TestStatusesAreWrittenTogether(t *testing.T) {
	s := newStore(t)
	js := s.ready()
	c := New(js)
	const n = BatchMost + BatchLeast
	first := someStatuses(n, nil, "0badcafe")
	revisions := revisionsOf(t, c.PutStatuses(t.Context(), first))
	stand(t, c, first, revisions)
	if got := batchesIn(t, js); got != n || !c.Batches(t.Context()) {
		t.Errorf("%d of %d are of a batch", got, n)
	}
	s.restart(js)
	second := someStatuses(n, revisions, "1badcafe")
	revisions = revisionsOf(t, c.PutStatuses(t.Context(), second))
	stand(t, c, second, revisions)
	few := someStatuses(BatchLeast-1, revisions, "2badcafe")
	copy(revisions, revisionsOf(t, c.PutStatuses(t.Context(), few)))
	stand(t, c, append(few, second[len(few):]...), revisions)
	if got := batchesIn(t, js); got != n-len(few) {
		t.Errorf("%d are of a batch: a few are not one", got)
	}
}

// One that is out of date, or cannot be a status, holds up none of the others.
func TestAStaleStatusHoldsUpNoOther(t *testing.T) {
	c := New(newStore(t).ready())
	const n = 2 * BatchLeast
	revisions := revisionsOf(t, c.PutStatuses(t.Context(), someStatuses(n, nil, "0badcafe")))
	gone := state.ModelKey("default", "m005")
	if err := c.DeleteStatus(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	next := someStatuses(n, revisions, "1badcafe")
	next[3].Revision-- // what stood there before
	next[5].Revision = 0
	next[7].Key, next[7].Name = "", "a.."
	puts := c.PutStatuses(t.Context(), next)
	for i, p := range puts {
		switch {
		case i == 3 && errors.Is(p.Err, ErrConflict), i == 7 && errors.Is(p.Err, ErrInvalid):
		case p.Err != nil || p.Revision == 0 || i == 3 || i == 7:
			t.Errorf("status %d: %+v", i, p)
		}
	}
	if got, err := c.GetStatus(t.Context(), gone); err != nil || got.Revision != puts[5].Revision {
		t.Errorf("the one in the place of a delete marker: %+v, %v", got, err)
	}
}

// A bucket that takes no batches is written one by one, also where it took them a moment ago,
// and one of an earlier version takes them from the next start on.
func TestABucketThatTakesNoBatches(t *testing.T) {
	js := newStore(t).ready()
	var revisions []uint64
	for i, knew := range []bool{true, false} {
		c := New(js)
		if knew {
			batchestest.Allow(t, js, streamName(BucketStatus), true)
			if !c.Batches(t.Context()) {
				t.Fatal("it takes batches")
			}
		}
		batchestest.Allow(t, js, streamName(BucketStatus), false)
		all := someStatuses(2*BatchLeast, revisions, fmt.Sprintf("%dbadcafe", i))
		revisions = revisionsOf(t, c.PutStatuses(t.Context(), all))
		stand(t, c, all, revisions)
		if batchesIn(t, js) > 0 || c.Batches(t.Context()) {
			t.Error("it took a batch")
		}
	}
	if _, err := EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if !New(js).Batches(t.Context()) {
		t.Error("it takes no batches after a start of this version")
	}
}

// Of a batch that was not ended nothing appears, now or after a restart.
func TestHalfABatchNeverAppears(t *testing.T) {
	s := newStore(t)
	js := s.ready()
	b, err := jetstreamext.NewBatchPublisher(js)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := b.AddMsg(&nats.Msg{Subject: subject(BucketStatus, fmt.Sprintf("model.default.m%d", i)), Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, err := New(js).ListStatuses(t.Context()); len(got) > 0 || err != nil {
			t.Errorf("%d statuses, %v", len(got), err)
		}
		s.restart(js)
	}
}

// Without NATS nothing is written, and nothing is sent late.
func TestStatusesWithoutNATS(t *testing.T) {
	s := newStore(t)
	js := s.ready()
	c := New(js)
	revisionsOf(t, c.PutStatuses(t.Context(), someStatuses(BatchLeast, nil, "0badcafe")))
	s.stop()
	for i, p := range c.PutStatuses(t.Context(), someStatuses(2*BatchLeast, nil, "1badcafe")) {
		if !errors.Is(p.Err, ErrUnreachable) {
			t.Errorf("status %d: %+v", i, p)
		}
	}
	s.start()
	if got, err := New(s.dial()).ListStatuses(t.Context()); err != nil || len(got) != BatchLeast {
		t.Errorf("%d statuses, %v", len(got), err)
	}
}

// Of statuses of which one is larger than NATS takes, the others are written, and nothing of a
// batch is left behind; of a bucket that is gone each is told so.
func TestStatusesThatAreNoBatch(t *testing.T) {
	js := newStore(t).ready()
	c := New(js)
	all := someStatuses(2*BatchLeast, nil, "0badcafe")
	all[7].Conditions = []state.Condition{{Message: strings.Repeat("x", int(js.Conn().MaxPayload()))}}
	for i, p := range c.PutStatuses(t.Context(), all) {
		if i == 7 != errors.Is(p.Err, ErrInvalid) || i != 7 && p.Err != nil {
			t.Errorf("status %d: %+v", i, p)
		}
	}
	if err := js.DeleteStream(t.Context(), streamName(BucketStatus)); err != nil {
		t.Fatal(err)
	}
	for i, p := range c.PutStatuses(t.Context(), someStatuses(BatchLeast, nil, "1badcafe")) {
		if !errors.Is(p.Err, ErrNotAStore) {
			t.Errorf("status %d of no bucket: %+v", i, p)
		}
	}
}
