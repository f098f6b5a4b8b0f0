package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// What the planner before this one got wrong: docs/adr/0017 tells each.

// A wait for the next attempt is told once.
func TestAWaitIsToldOnce(t *testing.T) {
	w := newCluster(node("1", 4))
	w.put(model("a", ""))
	w.run(6)
	for range 3 {
		u := w.of("a")[0]
		w.exit(u, &u.Actors[0], 1)
		r := w.round()
		w.tick()
		w.tick()
		for i, x := range r.Waits {
			if slices.Contains(r.Waits[:i], x) {
				t.Errorf("%+v is told twice", x)
			}
		}
	}
	u := w.of("a")[0]
	w.exit(u, &u.Actors[0], 1)
	if r := w.round(); len(r.Waits) != 1 || !r.NextCheck.Equal(r.Waits[0].Until) {
		t.Errorf("waits %+v, next check %s; want one, and a check when it is over", r.Waits, r.NextCheck)
	}
}

// A status tells what is observed: a replica that is asked to leave serves until it is
// seen to, in a scale-down as in a roll.
func TestAStatusTellsWhatIsObserved(t *testing.T) {
	w := newCluster(node("1", 4))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	w.put(model("a", "  replicas: 1\n"))
	if r := w.round(); len(r.Stops) != 1 || r.Stops[0].Reason != actors.ReasonScaledDown {
		t.Fatalf("stops %+v, want a scale-down", r.Stops)
	}
	for _, p := range w.statuses[key].Placements {
		if p.State != "Ready" {
			t.Errorf("%s is %s, and nothing of it has ended yet", p.Unit, p.State)
		}
	}
	if n := w.statuses[key].Roles["aggregated"].Ready; n != 2 {
		t.Errorf("%d are ready, want 2", n)
	}
}

// The last worker of a generation that serves retires from its traffic also when it is
// beyond the count, while the generation before it serves on.
func TestAScaleDownInARollRetires(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	w.put(model("a", "  replicas: 2\n  engineArgs: {block_size: 32}\n  update: {maxSurge: 2}\n"))
	w.round()
	fresh := func(replica int) *state.Unit {
		for _, u := range w.of("a") {
			if u.Generation == w.statuses[key].Generation && u.Replica == replica {
				return u
			}
		}
		t.Fatal("no such replica")
		return nil
	}
	for fresh(1).State != state.UnitRunning {
		w.tick()
	}
	w.broken[fresh(0).Generation] = true // what has started runs on, and starts no more
	u := fresh(0)
	w.exit(u, &u.Actors[0], 1)
	w.put(model("a", "  replicas: 1\n  engineArgs: {block_size: 32}\n  update: {maxSurge: 2}\n"))
	for range 10 {
		for _, s := range w.round().Stops {
			if s.Key != fresh(1).Key() {
				continue
			}
			if !s.Retires {
				t.Errorf("%+v leaves its generation without a worker, beside one that serves", s)
			}
			return
		}
		w.tick()
	}
	t.Fatal("the replica beyond the count never leaves")
}

// A replica that nobody waits for is counted once: those beyond the count do not both leave
// for one that finds no room and fails as well.
func TestNobodyIsGivenUpTwice(t *testing.T) {
	w := newCluster(node("1", 4))
	key := w.put(model("a", "  replicas: 4\n"))
	w.run(8)
	ready(t, w, key)
	w.nodes[0].GPUs = 3
	units := w.of("a")
	w.losePlacement(units[0])
	units[0].Failures, units[0].Reason, units[0].ChangedAt = 5, "PlacementTimeout", w.now
	w.exit(units[1], &units[1].Actors[0], 1)
	w.put(model("a", "  replicas: 2\n"))
	r := w.round()
	if len(r.Stops) != 1 {
		t.Errorf("%d of the two that serve leave, and nothing else serves: %+v", len(r.Stops), r.Stops)
	}
}

// While a prefill worker drains, what it has prefilled needs a decode worker that serves:
// one that is not registered does not do.
func TestTheDecodeThatStaysServes(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  mode: disagg\n  prefill: {replicas: 1}\n  decode: {replicas: 2}\n"))
	w.run(8)
	ready(t, w, key)
	for _, u := range w.of("a") {
		if u.Role == state.RoleDecode && u.Replica == 0 {
			w.unregister("default", u.Actors[0].Lease)
		}
	}
	w.put(model("a", "  replicas: 1\n"))
	for range 20 {
		r := w.round()
		for _, s := range r.Stops {
			if u := w.units[s.Key]; u.Role == state.RoleDecode && u.Replica == 1 {
				t.Fatalf("the decode worker that serves leaves with the prefill worker: %+v", r.Stops)
			}
			if u := w.units[s.Key]; u.Role == state.RolePrefill {
				return
			}
		}
		w.tick()
	}
	t.Fatal("nothing leaves")
}

// What is executed again in its own group takes no room a second time: what waits for Ray
// to count what has ended is told so.
func TestAnExecutionInPlaceTakesNoRoom(t *testing.T) {
	w := newCluster(node("1", 2))
	w.lags = true
	key := w.put(model("a", ""))
	w.put(model("z", ""))
	w.run(8)
	ready(t, w, key)
	w.put(model("b", ""))
	w.delete(state.ModelKey("default", "z"), true)
	for range 10 {
		w.round()
		w.tick()
		if len(w.of("z")) == 0 {
			break
		}
	}
	u := w.of("a")[0]
	w.exit(u, &u.Actors[0], 1)
	free := 0.0 // as Ray still counts
	w.nodes[0].FreeGPUs = &free
	w.lags = false
	w.lastGone = w.now
	w.round()
	if c := w.condition(state.ModelKey("default", "b"), state.CondScheduled); c.Reason != actors.CondPending {
		t.Errorf("Scheduled of b: %+v, want %s: the room is there, Ray has only to count it", c, actors.CondPending)
	}
	w.now = w.now.Add(time.Second)
}

// A newer edit comes while a generation is all there and still behind its gate: requests
// reach the one before it alone, so that one stays whole until another has entered.
func TestAGenerationBehindItsGateReplacesNobody(t *testing.T) {
	for size := range 8 {
		w := newCluster(node("1", 32))
		w.put(model("a", disaggSpec))
		w.run(8)
		w.put(model("a", disaggSpec+fmt.Sprintf("  engineArgs: {block_size: %d}\n", 17+size)))
		for n := 0; len(w.instances["default"]) < 4; n++ {
			if n == 20 {
				t.Fatal("the second generation never registers")
			}
			w.round()
			w.tick()
		}
		key := w.put(model("a", disaggSpec+thirdArgs))
		for range 30 {
			w.round()
			if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
				t.Fatalf("size %d: Available %+v\n%s", size, c, strings.Join(w.journal, "\n"))
			}
			w.tick()
		}
		ready(t, w, key)
	}
}

// Where the old generation makes room later, a replica beyond the count that serves does
// not make it now: fewer would serve meanwhile than are wanted.
func TestTheOldMakeRoomBeforeThoseBeyondTheCount(t *testing.T) {
	w := newCluster(node("1", 4))
	key := w.put(model("a", "  replicas: 3\n"))
	w.run(8)
	ready(t, w, key)
	first := w.statuses[key].Generation
	w.broken[first] = true
	for _, u := range w.of("a")[:2] { // these serve nobody, and make room for the next
		w.exit(u, &u.Actors[0], 1)
	}
	w.edit(key, "  replicas: 2\n  resources: {gpus: 2}\n  update: {maxUnavailable: 1}\n", false)
	serving := func(want func(*state.Unit) bool) (n int) {
		for _, u := range w.of("a") {
			if _, ok := w.instances["default"][u.Actors[0].Lease]; ok && u.State == state.UnitRunning && want(u) {
				n++
			}
		}
		return n
	}
	for serving(func(u *state.Unit) bool { return u.Generation != first }) == 0 {
		w.round()
		w.tick()
	}
	w.broken[first] = false
	w.edit(key, "  replicas: 2\n  update: {maxSurge: 1, maxUnavailable: 0}\n", false)
	for range 60 {
		w.round()
		w.tick()
		if n := serving(func(*state.Unit) bool { return true }); n < 2 {
			t.Fatalf("%d serve, want 2\n%s", n, strings.Join(w.journal, "\n"))
		}
	}
	ready(t, w, key)
	upToDate(t, w, key)
}
