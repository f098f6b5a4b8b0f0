package kv

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

func TestRestIsDue(t *testing.T) {
	const large = restAfter / 4
	now := time.Unix(1e9, 0)
	for _, tc := range []struct {
		name   string
		size   int
		values int
		behind uint64
		due    int // how often, while no time passes
	}{
		{"nothing", 0, 100, 0, 0},
		{"small values, however many", restFrom - 1, 10_000, 0, 0},
		{"too few large ones", large, 3, 0, 0},
		{"large ones", large, 4, 0, 1},
		{"large ones while more are behind", large, 100, 1, 0},
		{"large ones that were on their way when the rest began", large, 100, 0, 1},
		{"the largest", 8 << 20, 1, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r rests
			due := 0
			for range tc.values {
				if r.due(tc.size, tc.behind, now) {
					due++
				}
			}
			if due != tc.due {
				t.Errorf("due %d times, want %d", due, tc.due)
			}
		})
	}
}

func TestRestComesAgain(t *testing.T) {
	var r rests
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration // since the last step
		size  int
		due   bool
	}{
		{0, restAfter, true},
		{restFor - 1, restAfter, false},
		{1, 10, true}, // of what arrived in the rest
		{restFor, restAfter / 2, false},
		{restWithin + 1, restAfter / 2, false}, // too long ago
		{restWithin, restAfter / 2, true},
	} {
		now = now.Add(step.after)
		if due := r.due(step.size, 0, now); due != step.due {
			t.Errorf("%+v: due %v", step, due)
		}
	}
}

// A flood of large values is read in turns, and what comes after it arrives. Of small
// ones none waits.
func TestAFloodOfLargeValuesIsReadInTurns(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	c := New(js)
	w := watch(t, js)
	w.synced()
	pauses := must(js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.PAUSE." + streamName(BucketSpecs) + ".*"))(t)
	put := func(name string, size int) uint64 {
		return must(c.PutSpec(t.Context(), state.ServerKey(name), bytes.Repeat([]byte("x"), size), PutOptions{}))(t)
	}
	arrives := func(rev uint64, name string) {
		w.until(name, func() bool { e, _ := w.spec("server." + name); return e.Revision == rev })
	}
	const half = restFrom / 2
	var rev uint64
	for i := range restAfter/half + 1 {
		rev = put(fmt.Sprint("s", i), half)
	}
	arrives(rev, fmt.Sprint("s", restAfter/half))
	if m, err := pauses.NextMsg(time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("small values had it rest: %v, %v", m, err)
	}
	for i := range 9 {
		put(fmt.Sprint("l", i), 512<<10)
	}
	if _, err := pauses.NextMsg(time.Minute); err != nil {
		t.Fatal("large values did not have it rest:", err)
	}
	arrives(put("after", 10), "after")
}

// A server that knows no rest is read without one.
func TestRestIsRefused(t *testing.T) {
	js := newStore(t).ready()
	stream := must(js.Stream(t.Context(), streamName(BucketSpecs)))(t)
	if err := rest(t.Context(), stream, "nobody"); !errors.Is(err, errNoRest) {
		t.Errorf("%v, want errNoRest", err)
	}
}
