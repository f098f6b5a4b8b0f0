package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dynctl/actors"
	"dynctl/state"
)

func ready(t *testing.T, w *cluster, key state.Key) {
	t.Helper()
	if c := w.condition(key, state.CondReady); c.Status != state.StatusTrue {
		t.Fatalf("%s is not Ready: %s: %s\n%s", key, c.Reason, c.Message, strings.Join(w.journal, "\n"))
	}
}

// available fails unless the model is served.
func available(t *testing.T, w *cluster, key state.Key) {
	t.Helper()
	if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
		t.Fatalf("%s is not Available: %s: %s\n%s", key, c.Reason, c.Message, strings.Join(w.journal, "\n"))
	}
}

// staysAvailable lets seconds pass in which the model is served.
func staysAvailable(t *testing.T, w *cluster, key state.Key, seconds int) {
	t.Helper()
	for range seconds {
		w.round()
		w.tick()
		w.round()
		available(t, w, key)
	}
}

func TestDisaggregatedModelIsReadyWithBothRoles(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("d", "  mode: disagg\n"))
	w.run(6)
	ready(t, w, key)
	for _, typ := range []string{state.CondPrefillReady, state.CondDecodeReady} {
		if c := w.condition(key, typ); c.Status != state.StatusTrue {
			t.Errorf("%s = %s", typ, c.Status)
		}
	}
	if r := w.statuses[state.ServerKey("default")].Router; r == nil || r.Mode != "kv" || !strings.Contains(r.Because, "d") {
		t.Errorf("server router = %+v, want kv because of d", r)
	}
}

// Two actors that claim one lease cannot both be right: a worker that could not
// bind its system port is taken for the one that has it. Neither claim proves
// anything then, and what a live worker may own is not revoked.
func TestALeaseThatTwoClaimProvesNothing(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(6)
	ready(t, w, key)
	units := w.of("a")
	units[1].Actors[0].Lease = units[0].Actors[0].Lease
	if r := w.round(); len(r.Revokes) != 0 {
		t.Errorf("revokes = %+v, want none: the instance is that of a live worker", r.Revokes)
	}
}

func TestCrashLoopBacksOff(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.round()
	w.broken[w.statuses[key].Generation] = true
	w.run(120)
	u := w.of("a")[0]
	if n := u.Actors[0].Attempt; n < 5 || n > 10 {
		t.Errorf("%d attempts in 2 minutes, want 5 to 10 with 0, 1, 2, 4, ... s between them", n)
	}
	if c := w.condition(key, state.CondWorkersReady); c.Reason != actors.WaitBackOff {
		t.Errorf("WorkersReady = %+v, want %s", c, actors.WaitBackOff)
	}
	if w.statuses[key].Roles["aggregated"].BackoffUntil == nil {
		t.Error("backoffUntil is not told")
	}
}

func TestRollKeepsServing(t *testing.T) {
	for _, tc := range []struct {
		name, before, after string
		gpus                int
		gap                 bool // no room to surge: a gap is expected with one replica
	}{
		{name: "two replicas, room", before: "  replicas: 2\n", after: "  replicas: 2\n  engineArgs: {block_size: 32}\n", gpus: 8},
		{name: "one replica, room", before: "", after: "  engineArgs: {block_size: 32}\n", gpus: 8},
		{name: "two replicas, no room", before: "  replicas: 2\n", after: "  replicas: 2\n  engineArgs: {block_size: 32}\n", gpus: 2},
		{name: "one replica, no room", before: "", after: "  engineArgs: {block_size: 32}\n", gpus: 1, gap: true},
		{name: "disagg, room", before: "  mode: disagg\n", after: "  mode: disagg\n  engineArgs: {block_size: 32}\n", gpus: 8},
		{name: "disagg, no room", before: "  mode: disagg\n", after: "  mode: disagg\n  engineArgs: {block_size: 32}\n", gpus: 2, gap: true},
		{name: "aggregated to disagg", before: "  replicas: 2\n", after: "  mode: disagg\n", gpus: 8},
		{name: "disagg to aggregated", before: "  mode: disagg\n", after: "  replicas: 1\n", gpus: 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			key := w.put(model("a", tc.before))
			w.run(8)
			ready(t, w, key)
			old := w.statuses[key].Generation
			w.put(model("a", tc.after))
			for range 60 {
				w.round()
				w.tick()
				w.round()
				if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue && !tc.gap {
					t.Fatalf("not Available: %+v\n%s", c, strings.Join(w.journal, "\n"))
				}
			}
			ready(t, w, key)
			if g := w.statuses[key].Generation; g == old {
				t.Error("the generation did not change")
			}
			for _, u := range w.of("a") {
				if u.Generation == old {
					t.Errorf("unit %s of the old generation is left", u.Unit)
				}
			}
		})
	}
}

// A request that has been prefilled still needs a decode worker of its
// generation, so the last one goes only after the prefill workers.
func TestTheLastDecodeWorkerLeavesAfterPrefill(t *testing.T) {
	for _, tc := range []struct {
		name, after string
		gpus        int
	}{
		{"roll with room", "  mode: disagg\n  engineArgs: {block_size: 32}\n", 8},
		{"roll without room", "  mode: disagg\n  engineArgs: {block_size: 32}\n", 2},
		{"to aggregated", "  replicas: 1\n", 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			key := w.put(model("a", "  mode: disagg\n"))
			w.run(8)
			ready(t, w, key)
			old := w.statuses[key].Generation
			w.put(model("a", tc.after))
			for range 60 {
				prefill := false
				for _, u := range w.of("a") {
					prefill = prefill || u.Generation == old && u.Role == state.RolePrefill
				}
				for _, s := range w.round().Stops {
					if prefill && s.Generation == old && strings.Contains(s.Key.Unit, "_decode_") {
						t.Fatalf("%s is stopped while a prefill worker of its generation drains\n%s", s.Key.Unit, strings.Join(w.journal, "\n"))
					}
				}
				w.tick()
			}
			ready(t, w, key)
			if n := len(w.of("a")); n > 2 {
				t.Errorf("%d units are left", n)
			}
		})
	}
}

func TestABadGenerationNeverTakesDownTheOldOne(t *testing.T) {
	for _, gpus := range []int{8, 2} {
		t.Run(fmt.Sprintf("%d GPUs", gpus), func(t *testing.T) {
			w := newCluster(node("1", gpus))
			key := w.put(model("a", "  replicas: 2\n"))
			w.run(8)
			old := w.statuses[key].Generation
			w.put(model("a", "  replicas: 2\n  engineArgs: {block_size: 1}\n"))
			w.round()
			for _, m := range []string{w.statuses[key].Generation} {
				if m != old {
					w.broken[m] = true
				}
			}
			w.run(120)
			if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
				t.Errorf("Available = %+v", c)
			}
			c := w.condition(key, state.CondUpToDate)
			if c.Reason != actors.WaitRolloutStalled && c.Reason != actors.CondRolledBack {
				t.Errorf("UpToDate = %+v", c)
			}
			serving := 0
			for _, u := range w.of("a") {
				if u.Generation == old && u.State == state.UnitRunning {
					serving++
				}
			}
			if want := 2; serving != want {
				t.Errorf("%d replicas of the old generation serve, want %d\n%s", serving, want, strings.Join(w.journal, "\n"))
			}
		})
	}
}

// An old unit whose template is kept no more cannot be executed again, so one that
// has exited makes room for a new one, also while others of its generation serve.
func TestAnOldUnitThatCannotComeBackMakesRoom(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	const old = "0badf00d" // rolled away from two generations ago
	for i, u := range w.of("a") {
		x := clone(*u)
		x.Generation, x.Unit = old, fmt.Sprintf("%s_a_DP%d", old, i)
		w.units[x.Key()] = &x
		in := w.instances["default"][x.Actors[0].Lease]
		w.lease++
		in.Namespace, in.Lease, x.Actors[0].Lease = "curator-"+old, w.lease, w.lease
		w.instances["default"][w.lease] = in
		if i == 1 {
			delete(w.units, u.Key())
			w.unregister("default", u.Actors[0].Lease)
			x.Actors[0].Attempt = 2
			w.exit(&x, &x.Actors[0], 0)
		}
	}
	w.run(30)
	ready(t, w, key)
	if n := len(w.of("a")); n != 2 {
		t.Errorf("%d units, want 2\n%s", n, strings.Join(w.journal, "\n"))
	}
}

func TestABadRevisionKeepsTheAcceptedOne(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	e := w.specs[key]
	e.Revision, e.Err = w.next(), fmt.Errorf("line 3: unknown field")
	w.specs[key] = e
	r := w.round()
	if len(r.Stops)+len(r.Starts) != 0 {
		t.Errorf("acted on a bad revision: %+v", r)
	}
	st := w.statuses[key]
	if c, _ := st.Condition(state.CondAccepted); c.Status != state.StatusFalse || !strings.Contains(c.Message, "keeps running") {
		t.Errorf("Accepted = %+v", c)
	}
	if c, _ := st.Condition(state.CondAvailable); c.Status != state.StatusTrue {
		t.Errorf("Available = %+v", c)
	}
	if len(r.Facts) != 1 || r.Facts[0].Type != actors.FactSpecRejected {
		t.Errorf("facts = %+v", r.Facts)
	}
	if r := w.round(); len(r.Facts) != 0 {
		t.Errorf("facts are repeated: %+v", r.Facts)
	}
}

func TestNextCheckFollowsTheBackoff(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.round()
	w.broken[w.statuses[key].Generation] = true
	for range 12 {
		r := w.round()
		w.tick()
		for _, x := range r.Waits {
			if x.Reason == actors.WaitBackOff && (r.NextCheck.IsZero() || r.NextCheck.After(x.Until)) {
				t.Fatalf("NextCheck = %v, though the backoff ends at %v", r.NextCheck, x.Until)
			}
			if x.Reason == actors.WaitBackOff {
				return
			}
		}
	}
	t.Error("it never backed off")
}

func TestWhatIsNotKnownIsNotNothing(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	before := w.statuses[key]
	w.unsynced = true
	units := w.units
	w.units = map[state.UnitKey]*state.Unit{} // a new agent has not told them yet
	r := w.round()
	after := w.statuses[key]
	if d := cmp.Diff(before.Placements, after.Placements); d != "" {
		t.Errorf("placements changed:\n%s", d)
	}
	counts := before.Roles["aggregated"]
	counts.LastKnown = true
	if d := cmp.Diff(map[string]state.RoleStatus{"aggregated": counts}, after.Roles); d != "" {
		t.Errorf("roles changed:\n%s", d)
	}
	w.unsynced, w.units = false, units
	r = w.round()
	for _, f := range r.Facts {
		t.Errorf("told again: %+v", f)
	}
}
