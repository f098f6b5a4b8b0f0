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

func TestColdStartAsksForEverythingAtOnce(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	r := w.round()
	var got []string
	for _, s := range r.Starts {
		got = append(got, s.Template.Role+"/"+s.Reason)
	}
	want := []string{"/InfraMissing", "/ReplicaMissing", "/ReplicaMissing"}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("starts (-want +got):\n%s", d)
	}
	w.run(6)
	ready(t, w, key)
	if r := w.round(); len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) != 0 {
		t.Errorf("a plan after a fully applied plan is not empty: %+v", r)
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

func TestExitedWorkerIsRevokedAndExecutedAgainAtOnce(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(6)
	ready(t, w, key)
	u := w.of("a")[0]
	w.exit(u, &u.Actors[0], -9)
	r := w.round()
	if len(r.Revokes) != 1 || r.Revokes[0].Reason != actors.ReasonDeadAttempt {
		t.Errorf("revokes = %+v, want the lease of the dead attempt", r.Revokes)
	}
	if len(r.Starts) != 1 || r.Starts[0].Reason != actors.ReasonExited || r.Starts[0].Attempts[u.Actors[0].Name].Number != 2 {
		t.Errorf("starts = %+v, want attempt 2", r.Starts)
	}
	w.run(6)
	ready(t, w, key)
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

func TestScaleDownStopsTheHighestIndex(t *testing.T) {
	w := newCluster(node("1", 8))
	w.put(model("a", "  replicas: 3\n"))
	w.run(6)
	w.put(model("a", "  replicas: 1\n"))
	r := w.round()
	if len(r.Stops) != 2 || len(r.Starts) != 0 {
		t.Fatalf("stops = %+v, starts = %+v; want two stops", r.Stops, r.Starts)
	}
	for _, s := range r.Stops {
		if strings.HasSuffix(s.Key.Unit, "DP0") || s.Reason != actors.ReasonScaledDown {
			t.Errorf("stop %+v", s)
		}
	}
}

func TestNothingStopsWhileEitherSideIsUnknown(t *testing.T) {
	for name, blind := range map[string]func(*cluster){
		"observed side not loaded": func(w *cluster) { w.unsynced = true },
		"agent silent":             func(w *cluster) { w.agentAway = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			key := w.put(model("a", "  replicas: 2\n"))
			w.run(6)
			blind(w)
			w.delete(key, true)
			r := w.round()
			if len(r.Stops)+len(r.Sweeps)+len(r.Starts)+len(r.Revokes)+len(r.Gone) != 0 {
				t.Errorf("acted blindly: %+v", r)
			}
		})
	}
}

func TestAMissingKeyIsNotADelete(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(6)
	clear(w.specs)
	w.run(30)
	ready(t, w, key)
	if len(w.of("a")) != 1 {
		t.Error("the unit is gone")
	}
}

func TestDeletes(t *testing.T) {
	start := func(t *testing.T, n int) (*cluster, []state.Key) {
		w := newCluster(node("1", 8))
		var keys []state.Key
		for i := range n {
			keys = append(keys, w.put(model(fmt.Sprintf("m%d", i), "")))
		}
		w.run(6)
		return w, keys
	}
	t.Run("by dynctl acts at once", func(t *testing.T) {
		w, keys := start(t, 2)
		w.delete(keys[0], true)
		if r := w.round(); len(r.Stops) != 1 || r.Stops[0].Reason != actors.ReasonDeleted {
			t.Errorf("stops = %+v", r.Stops)
		}
		w.run(4)
		if _, ok := w.statuses[keys[0]]; ok {
			t.Error("its status is still there")
		}
	})
	t.Run("by another program is held", func(t *testing.T) {
		w, keys := start(t, 3)
		w.delete(keys[0], false)
		w.run(8)
		if len(w.of("m0")) != 1 {
			t.Error("stopped within the hold")
		}
		w.run(6)
		if len(w.of("m0")) != 0 {
			t.Error("not stopped after the hold")
		}
	})
	t.Run("of most models is blocked", func(t *testing.T) {
		w, keys := start(t, 3)
		w.delete(keys[0], false)
		w.delete(keys[1], false)
		w.run(60)
		if len(w.of("m0"))+len(w.of("m1")) != 2 {
			t.Error("stopped without a confirmation")
		}
		if c := w.condition(keys[0], state.CondUpToDate); c.Reason != actors.CondDeletionHeld {
			t.Errorf("UpToDate = %+v", c)
		}
	})
	t.Run("of everything leaves nothing", func(t *testing.T) {
		w, keys := start(t, 2)
		for _, k := range keys {
			w.delete(k, true)
		}
		w.run(6)
		if len(w.units) != 0 || len(w.statuses) != 0 {
			t.Errorf("left: units %v, statuses %v", sortedKeys(w.units), w.statuses)
		}
		if r := w.round(); len(r.Facts) != 0 {
			t.Errorf("facts are repeated: %+v", r.Facts)
		}
	})
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

func TestAnEditBackStopsNothingThatServes(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	w.put(model("a", "  replicas: 2\n  engineArgs: {block_size: 32}\n"))
	w.run(1)
	serving := map[string]bool{}
	for _, u := range w.of("a") {
		if u.State == state.UnitRunning {
			serving[u.Unit] = true
		}
	}
	w.put(model("a", "  replicas: 2\n"))
	for range 20 {
		for _, s := range w.round().Stops {
			if serving[s.Key.Unit] {
				t.Errorf("stopped %s, which served", s.Key.Unit)
			}
		}
		w.tick()
	}
	ready(t, w, key)
}

func TestOvercommitRunsByPriorityThenName(t *testing.T) {
	w := newCluster(node("1", 2))
	a := w.put(model("a", "  replicas: 2\n"))
	b := w.put(model("b", "  priority: 5\n"))
	w.run(8)
	ready(t, w, b)
	c := w.condition(a, state.CondScheduled)
	if c.Reason != actors.ReasonInsufficientGPUs || !strings.Contains(c.Message, "1") {
		t.Errorf("Scheduled of a = %+v, want %s with the numbers", c, actors.ReasonInsufficientGPUs)
	}
	w.delete(b, true)
	w.run(8)
	ready(t, w, a)
}

func TestAnotherStoresUnitsAreNotTouched(t *testing.T) {
	w := newCluster(node("1", 8))
	k := state.UnitKey{Server: "default", Unit: "00000000_infra"}
	w.units[k] = &state.Unit{Server: "default", Unit: "00000000_infra", Generation: "00000000", StoreID: "other", State: state.UnitRunning}
	key := w.put(model("a", ""))
	w.run(10)
	if len(w.units) != 1 {
		t.Errorf("units = %v, want the other store's alone", sortedKeys(w.units))
	}
	if c := w.condition(key, state.CondScheduled); c.Reason != actors.WaitNotOwner {
		t.Errorf("Scheduled = %+v", c)
	}
}

func TestLeftoversOfADeadDriver(t *testing.T) {
	leftover := func(w *cluster, alive bool) {
		k := state.UnitKey{Server: "default", Unit: "abcd1234_infra"}
		w.units[k] = &state.Unit{Server: "default", Unit: k.Unit, Generation: "abcd1234", State: state.UnitRunning, JobAlive: alive}
	}
	t.Run("are swept before the first start", func(t *testing.T) {
		w := newCluster(node("1", 8))
		leftover(w, false)
		key := w.put(model("a", ""))
		if r := w.round(); len(r.Sweeps)+len(r.Starts) != 0 {
			t.Errorf("acted on a first look: %+v", r)
		}
		w.run(12)
		ready(t, w, key)
	})
	t.Run("of a living one are refused", func(t *testing.T) {
		w := newCluster(node("1", 8))
		leftover(w, true)
		key := w.put(model("a", ""))
		w.run(12)
		if c := w.condition(key, state.CondScheduled); c.Reason != actors.WaitCuratorAlive || len(w.units) != 1 {
			t.Errorf("Scheduled = %+v, units %v", c, sortedKeys(w.units))
		}
	})
}

func TestRestartIsInPlaceAndOneAtATime(t *testing.T) {
	w := newCluster(node("1", 2))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	w.put(model("a", "  replicas: 2\n  restart: again\n"))
	for range 20 {
		r := w.round()
		if len(r.Starts) > 1 || len(r.Stops) > 0 {
			t.Fatalf("starts %v, stops %v: want one execution in place at a time", r.Starts, r.Stops)
		}
		w.tick()
		w.round()
		if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
			t.Fatalf("not Available: %+v", c)
		}
	}
	ready(t, w, key)
	for _, u := range w.of("a") {
		if u.Actors[0].Attempt != 2 || u.Restart != "again" {
			t.Errorf("%s: attempt %d, restart %q", u.Unit, u.Actors[0].Attempt, u.Restart)
		}
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
	if d := cmp.Diff(before.Roles, after.Roles); d != "" {
		t.Errorf("roles changed:\n%s", d)
	}
	w.unsynced, w.units = false, units
	r = w.round()
	for _, f := range r.Facts {
		t.Errorf("told again: %+v", f)
	}
}

func TestARenamedNamespaceStartsEverythingAgain(t *testing.T) {
	server := func(extra, namespace string) string {
		return "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default" + extra + "}\nspec: {dynamoNamespace: " + namespace + "}\n"
	}
	w := newCluster(node("1", 8))
	skey := w.put(server("", "curator"))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	w.put(server("", "other"))
	w.run(4)
	if c := w.condition(skey, state.CondAccepted); c.Reason != state.ReasonMovesInfra {
		t.Fatalf("a rename under workers was accepted: %+v", c)
	}
	if len(w.of("a")) != 2 {
		t.Fatal("a refused rename stopped workers")
	}
	revision := w.statuses[skey].AcceptedRevision
	w.put(server(fmt.Sprintf(", annotations: {dynctl/recreate: %q}", fmt.Sprint(revision)), "other"))
	for range 20 {
		w.round()
		w.tick()
	}
	if c := w.condition(skey, state.CondAccepted); c.Status != state.StatusTrue {
		t.Fatalf("Accepted = %+v", c)
	}
	for _, u := range w.of("a") {
		if u.Actors[0].Attempt != 1 || u.State != state.UnitRunning {
			t.Errorf("%s: attempt %d, %s", u.Unit, u.Actors[0].Attempt, u.State)
		}
	}
	if !strings.Contains(strings.Join(w.journal, "\n"), actors.ReasonInfraRecreated) {
		t.Errorf("infra was not recreated:\n%s", strings.Join(w.journal, "\n"))
	}
}
