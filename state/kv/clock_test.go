package kv

import (
	"context"
	"errors"
	"testing"
	"time"

	"dynctl/state"
)

func TestCompareClocks(t *testing.T) {
	asked := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name                string
		ahead, took, stored time.Duration // of what is stored, by the clock of the store
		want                time.Duration // on this one
	}{
		{"they agree", 0, 10 * time.Millisecond, -time.Second, -time.Second},
		{"a second is the way of an answer", time.Second, 10 * time.Millisecond, -2 * time.Second, -2 * time.Second},
		{"a slow answer is no other clock", 3 * time.Second, 6 * time.Second, -time.Second, -time.Second},
		{"an hour ahead", time.Hour, 0, time.Hour - time.Second, -time.Second},
		{"an hour behind", -time.Hour, 0, -time.Hour - time.Second, -time.Second},
		{"from before it was set back", 0, 0, time.Hour, 0},
	} {
		came := asked.Add(row.took)
		c := compare(asked.Add(row.took/2+row.ahead), asked, came)
		if got := c.here(asked.Add(row.stored), asked).Sub(asked); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if c.set(c) {
			t.Errorf("%s: nothing was set", row.name)
		}
		if later := compare(asked.Add(row.took/2+row.ahead+time.Hour), asked, came); !later.set(c) {
			t.Errorf("%s: the clock of the store was set an hour ahead", row.name)
		}
	}
	if c := compare(time.Time{}, asked, asked); c.ahead != 0 {
		t.Errorf("ahead by %s of a store that does not say", c.ahead)
	}
}

// TestTheStoreKeepsAnotherClock: what a mirror has of a store whose clock is an hour ahead was
// stored when it was, by the clock of this machine; and it is read anew once that is set.
func TestTheStoreKeepsAnotherClock(t *testing.T) {
	js := newStore(t).ready()
	behind := func() time.Time { return time.Now().Add(-time.Hour) }
	bucket := must(js.KeyValue(t.Context(), BucketSpecs))(t)
	key := state.ModelKey("default", "m").String()
	must(bucket.PutString(t.Context(), key, "{}"))(t)
	loaded := make(chan item[struct{}], 1)
	var m *mirror[struct{}]
	m = newMirror(js, mirrorConfig[struct{}]{bucket: BucketSpecs, dated: true, kick: func() {
		if items, synced, _ := m.snapshot(); synced {
			select {
			case loaded <- items[key]:
			default:
			}
		}
	}})
	m.now = behind
	s := &session[struct{}]{m: m, fresh: map[string]item[struct{}]{}, failed: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, nil) }()
	if at := (<-loaded).at; behind().Sub(at).Abs() > time.Minute {
		t.Errorf("stored at %s, by a clock that says %s", at, behind())
	}
	if _, _, err := s.verify(t.Context()); err != nil {
		t.Errorf("no clock was set: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	m.now = time.Now
	if _, _, err := s.verify(t.Context()); !errors.Is(err, errClock) {
		t.Errorf("the clock was set, and the copy goes on: %v", err)
	}
}

// TestANodeWithAnotherClock: what an actor tells by a clock that is ahead has happened all the
// same, or the next attempt of what ended would wait for that moment.
func TestANodeWithAnotherClock(t *testing.T) {
	stored := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	sent := stored.Add(-time.Hour)   // the agent's clock is behind,
	ahead := sent.Add(8 * time.Hour) // and that of the node says local time for UTC
	u := state.Unit{State: state.UnitExited, SentAt: sent, ChangedAt: sent.Add(-time.Second), Actors: []state.Actor{{
		Name: "a", State: state.UnitExited, StartedAt: sent.Add(-time.Minute), Exit: &state.Exit{At: ahead}, LastExit: &state.Exit{At: ahead},
	}}}
	u.Server, u.Unit = "default", "1a2b3c4d_m_DP0"
	if err := state.CheckUnit(&u, stored); err != nil {
		t.Errorf("it cannot be read: %v", err)
	}
	fromAgentClock(&u, stored)
	a := u.Actors[0]
	if !a.Exit.At.Equal(stored) || !a.LastExit.At.Equal(stored) {
		t.Errorf("it ended at %s and %s, want %s", a.Exit.At, a.LastExit.At, stored)
	}
	if !a.StartedAt.Equal(stored.Add(-time.Minute)) || !u.ChangedAt.Equal(stored.Add(-time.Second)) {
		t.Errorf("started at %s, changed at %s", a.StartedAt, u.ChangedAt)
	}
}
