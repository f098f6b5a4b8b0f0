package main

import (
	"testing"
	"time"

	"dynctl/state"
)

var (
	start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	slip  = cause{"slip", 6 * time.Second, 0}
	crash = cause{"crash", 14 * time.Second, 0}
)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func asked(model string, from, to float64) request {
	return request{model: model, from: at(from), to: at(to)}
}

// TestASpanHasALimit: what does not come back in time is told once, and excuses nothing
// any more, whatever is still wrong with it.
func TestASpanHasALimit(t *testing.T) {
	l := newSpans()
	if !l.strike("m", slip, at(0)) {
		t.Fatal("the span is not opened")
	}
	if late := l.expire(at(6)); len(late) > 0 {
		t.Fatalf("late at its limit: %+v", late[0])
	}
	late := l.expire(at(6.1))
	if len(late) != 1 || late[0].what != "m" || !late[0].late || !late[0].to.Equal(at(6)) {
		t.Fatalf("late are %+v, want m, at its limit", late)
	}
	if len(l.expire(at(100))) > 0 {
		t.Error("it is told twice")
	}
	if l.excuse(asked("m", 5, 7)) == nil {
		t.Error("what was sent before the limit is not excused")
	}
	if s := l.excuse(asked("m", 6.5, 7)); s != nil {
		t.Errorf("what was sent after the limit is excused by %q", s.cause.text)
	}
	if rows := l.table(); len(rows) != 1 || rows[0].late != 1 || rows[0].excused != 1 {
		t.Errorf("the table says %+v", rows)
	}
}

// TestAFaultGrantsItsTime: one more fault grants what is struck its own time, and never
// takes any away.
func TestAFaultGrantsItsTime(t *testing.T) {
	l := newSpans()
	l.strike("m", crash, at(0))
	limit := l.open["m"].limit
	if l.strike("m", slip, at(1)) {
		t.Error("it was open already")
	}
	if s := l.open["m"]; s.cause != crash || !s.limit.Equal(limit) {
		t.Errorf("a shorter one made it %+v, want it as before", s)
	}
	l.strike("m", crash, at(10))
	if s := l.open["m"]; !s.limit.Equal(at(24)) || !s.from.Equal(at(0).Add(-margin)) {
		t.Errorf("struck at 10 s again it is %+v, want its limit at 24 s and its beginning as before", s)
	}
	l.hold("other", crash, at(10))
	if l.open["other"] != nil {
		t.Error("what is not struck was struck by a change of it")
	}
}

// TestNobodyHeals: time without an agent counts for nothing, and only once.
func TestNobodyHeals(t *testing.T) {
	l := newSpans()
	l.strike("before", slip, at(0))
	l.delay(crash, at(2)) // until 16 s
	l.delay(crash, at(4)) // until 18 s, of which 16 were granted
	l.delay(slip, at(5))  // ends sooner
	l.strike("while", slip, at(10))
	l.strike("after", slip, at(20))
	for what, want := range map[string]float64{"before": 6 + 16, "while": 18 + 6, "after": 26} {
		if got := l.open[what].limit; !got.Equal(at(want)) {
			t.Errorf("%s has until %.0f s, want %.0f s", what, got.Sub(start).Seconds(), want)
		}
	}
}

// TestExcuses: a request is excused by a span of its model or of the frontend that it
// overlaps, counted once.
func TestExcuses(t *testing.T) {
	l := newSpans()
	l.strike("m", slip, at(10))
	l.strike(frontendSpan, crash, at(11))
	l.end("m", at(12))
	l.end(frontendSpan, at(13))
	l.end("nothing", at(13))
	for _, tc := range []struct {
		name string
		r    request
		want string
	}{
		{"within", asked("m", 11, 12), "slip"},
		{"begun before", asked("m", 1, 9.5), "slip"},
		{"over before the margin", asked("m", 1, 9), ""},
		{"within the margin after", asked("m", 12.9, 30), "slip"},
		{"of the frontend alone", asked("m", 13.5, 30), "crash"},
		{"another model", asked("n", 11, 12), "crash"},
		{"after all", asked("m", 14, 15), ""},
	} {
		got := ""
		if s := l.excuse(tc.r); s != nil {
			got = s.cause.text
		}
		if got != tc.want {
			t.Errorf("%s: excused by %q, want %q", tc.name, got, tc.want)
		}
	}
	for _, r := range l.table() {
		if want := map[string]int{"slip": 3, "crash": 2}[r.cause.text]; r.excused != want {
			t.Errorf("%s excuses %d, want %d", r.cause.text, r.excused, want)
		}
	}
	// 9 to 14 s, of which 10 to 13 s are the frontend's too.
	if got := l.share("m", at(0), at(20)); got != 5*time.Second {
		t.Errorf("m was struck for %s, want 5 s", got)
	}
	if got := l.share("n", at(11), at(12)); got != time.Second {
		t.Errorf("n was struck for %s of one second", got)
	}
}

// TestAwaitedAttempts: what was struck is followed by what started later. The attempts of
// an infra that is recreated count from 1 again, so their number says nothing: a span
// that waited for a higher one never closed.
func TestAwaitedAttempts(t *testing.T) {
	run := func(attempt int, began float64) state.Actor {
		return state.Actor{Attempt: attempt, StartedAt: at(began)}
	}
	for _, tc := range []struct {
		name           string
		label          string
		runs, frontend state.Actor
		now            float64
		want           bool
	}{
		{"it still runs", "NATS", run(3, 0), run(1, 0), 100, false},
		{"recreated", "NATS", run(1, 10), run(1, 10), 10 + natsWait.Seconds(), true},
		{"the frontend has yet to notice", "NATS", run(4, 10), run(1, 0), 9 + natsWait.Seconds(), false},
		{"etcd, with the frontend that was", "ETCD", run(2, 10), run(1, 0), 20, false},
		{"etcd, with another frontend", "ETCD", run(2, 10), run(2, 11), 14, true},
		{"etcd, with one that has just begun", "ETCD", run(2, 10), run(2, 13), 14, false},
		{"etcd, without one", "ETCD", run(2, 10), state.Actor{}, 14, false},
		{"the frontend itself", "Frontend", run(1, 10), run(1, 10), 10 + settle.Seconds(), true},
	} {
		a := awaited{tc.label, at(0)}
		if got := a.over(tc.runs, tc.frontend, at(tc.now)); got != tc.want {
			t.Errorf("%s: over is %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestHarmIsOver: once the unit has been executed since, elsewhere if its node went. Of a
// model whose spec is back before anybody has acted on the delete nothing is stopped: a
// span that waited for another execution was late, for a model that served.
func TestHarmIsOver(t *testing.T) {
	unit := func(began float64, node string, s state.UnitState) state.Unit {
		return state.Unit{State: s, Actors: []state.Actor{{StartedAt: at(began), Node: node}}}
	}
	killed, lost, deleted := harm{at: at(10)}, harm{at: at(10), node: "a"}, harm{at: at(10), until: at(40)}
	for _, tc := range []struct {
		name string
		harm harm
		unit state.Unit
		now  float64
		want bool
	}{
		{"not executed since", killed, unit(5, "a", state.UnitRunning), 100, false},
		{"executed since", killed, unit(11, "a", state.UnitRunning), 12, true},
		{"without an actor", killed, state.Unit{}, 12, false},
		{"on the node that went", lost, unit(11, "a", state.UnitRunning), 12, false},
		{"elsewhere", lost, unit(11, "b", state.UnitRunning), 12, true},
		{"deleted, and it may still stop", deleted, unit(5, "a", state.UnitRunning), 40, false},
		{"deleted, and it drains", deleted, unit(5, "a", state.UnitStopping), 41, false},
		{"deleted, and spared", deleted, unit(5, "a", state.UnitRunning), 41, true},
	} {
		if got := tc.harm.over(tc.unit, at(tc.now)); got != tc.want {
			t.Errorf("%s: over is %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestBounds: each holds what it is made of, and none excuses a run.
func TestBounds(t *testing.T) {
	const longest = 130 * time.Second
	all := []cause{
		workerKilled, workerStopped, actorKilled, groupRemoved, lastKilled, frontendKilled, etcdKilled, etcdEmptied, natsKilled,
		natsAlone, infraRemoved, rayletKilled, infraLost, modelDeleted, agentAway, reconcilerAway, storeFull, specChanged,
	}
	for _, c := range all {
		if b := c.bound(); c.work <= 0 || b < c.waits+c.work || b > longest {
			t.Errorf("%s: bound %s, want it to hold its waits and work, and at most %s", c.text, b, longest)
		}
	}
}
