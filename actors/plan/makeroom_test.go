package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// stalled fails unless the roll has stalled for a reason that holds some text, and the
// model is still served.
func stalled(t *testing.T, w *cluster, key state.Key, text string) {
	t.Helper()
	if c := w.condition(key, state.CondUpToDate); c.Reason != actors.WaitRolloutStalled || !strings.Contains(c.Message, text) {
		t.Errorf("UpToDate = %+v, want %s with %q", c, actors.WaitRolloutStalled, text)
	}
	available(t, w, key)
}

// A generation for which making room cannot suffice takes nothing down: it stalls with
// the numbers, the old one goes on, and an edit back is up to date at once.
func TestAGenerationThatCannotBePlacedTakesNothingDown(t *testing.T) {
	for name, tc := range map[string]struct{ before, after, text string }{
		"too large":                        {"", "  resources: {gpus: 64}\n", "64 GPUs"},
		"too large, one may be missing":    {"", "  resources: {gpus: 64}\n  update: {maxUnavailable: 1}\n", "64 GPUs"},
		"too large, in place":              {"", "  resources: {gpus: 64}\n  update: {maxSurge: 0, maxUnavailable: 1}\n", "64 GPUs"},
		"no such node":                     {"", "  placement: {nodeSelector: {zone: nowhere}}\n", "zone=nowhere"},
		"others hold the rest":             {"", "  resources: {gpus: 2}\n", "1 of 4"},
		"more than may be missing":         {"  replicas: 1\n", "  replicas: 1\n  resources: {gpus: 3}\n", "1 of 4"},
		"one role is too large":            {"", "  mode: disagg\n  prefill: {engineArgs: {tensor_parallel_size: 64}}\n  decode: {}\n", "64 GPUs"},
		"the two roles need more than is":  {"", "  mode: disagg\n", "0 of 4"},
		"another model's CPUs are missing": {"", "  resources: {gpus: 1, cpus: 62}\n", "CPU"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 4))
			w.put(model("b", "  priority: 5\n  replicas: 3\n"))
			key := w.put(model("a", tc.before))
			w.run(10)
			ready(t, w, key)
			w.put(model("a", tc.after))
			for range 40 {
				for _, s := range w.round().Stops {
					t.Fatalf("stop %+v\n%s", s, strings.Join(w.journal, "\n"))
				}
				w.tick()
			}
			stalled(t, w, key, tc.text)
			w.put(model("a", tc.before))
			w.run(3)
			ready(t, w, key)
			upToDate(t, w, key)
		})
	}
}

// Room is made only where as many as may be missing are enough.
func TestRoomIsMadeWithinTheBudgetOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		extra   string
		gpus    int
		stalled bool
	}{
		"one given back beside a free one is enough": {"", 3, false},
		"two are needed and one may be missing":      {"", 2, true},
		"two are needed and may be missing":          {"  update: {maxUnavailable: 2}\n", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			key := w.put(model("a", "  replicas: 2\n"))
			w.run(8)
			ready(t, w, key)
			old := w.statuses[key].Generation
			w.put(model("a", "  replicas: 2\n  resources: {gpus: 2}\n"+tc.extra))
			w.run(30)
			fresh := 0
			for _, u := range w.of("a") {
				if u.Generation != old {
					fresh++
				}
			}
			if tc.stalled {
				stalled(t, w, key, "needs 2 GPUs")
			}
			if want := map[bool]int{true: 0, false: 1}[tc.stalled]; fresh != want {
				t.Errorf("%d units of the new generation, want %d\n%s", fresh, want, strings.Join(w.journal, "\n"))
			}
		})
	}
}

// Whatever the numbers of prefill and decode workers, a roll without a spare GPU comes
// to its end, and has no gap where both generations can have a pair.
func TestADisaggregatedRollWithoutRoomEnds(t *testing.T) {
	for _, tc := range []struct {
		prefill, decode, gpus int
		gap                   int // seconds
	}{
		{2, 2, 4, 0}, {3, 1, 4, 0}, {1, 3, 4, 0}, {2, 1, 4, 0}, {1, 2, 4, 0}, {3, 3, 6, 0}, {2, 2, 5, 0},
		{2, 1, 3, 6}, {1, 2, 3, 6}, {1, 1, 2, 6}, {1, 1, 3, 6},
	} {
		for _, mode := range []string{"", "  update: {maxSurge: 0}\n", "  update: {maxUnavailable: 1}\n"} {
			t.Run(fmt.Sprintf("%d and %d on %d GPUs %s", tc.prefill, tc.decode, tc.gpus, strings.TrimSpace(mode)), func(t *testing.T) {
				w := newCluster(node("1", tc.gpus))
				spec := fmt.Sprintf("  mode: disagg\n  prefill: {replicas: %d}\n  decode: {replicas: %d}\n%s", tc.prefill, tc.decode, mode)
				key := w.put(model("a", spec))
				w.run(8)
				ready(t, w, key)
				generation := w.edit(key, spec+otherGeneration, false)
				gap := 0
				for range 90 {
					w.round()
					w.tick()
					if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
						gap++
					}
				}
				ready(t, w, key)
				upToDate(t, w, key)
				for _, u := range w.of("a") {
					if u.Generation != generation {
						t.Errorf("%s is left", u.Unit)
					}
				}
				want := tc.gap
				if strings.Contains(mode, "maxSurge: 0") && min(tc.prefill, tc.decode) == 1 {
					want = 6 // the only one of a role is replaced in its place
				}
				if gap > want {
					t.Errorf("a gap of %d s, want %d at most", gap, want)
				}
			})
		}
	}
}

func TestADisaggregatedRollThatMayMissNothingStalls(t *testing.T) {
	w := newCluster(node("1", 3))
	spec := "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 1}\n  update: {maxUnavailable: 0}\n"
	key := w.put(model("a", spec))
	w.run(8)
	ready(t, w, key)
	w.edit(key, spec+otherGeneration, false)
	for range 40 {
		if r := w.round(); len(r.Stops) > 0 {
			t.Fatalf("stops %+v", r.Stops)
		}
		w.tick()
	}
	stalled(t, w, key, "maxUnavailable is 0")
}

// A bad generation that got half of the room brings the old one back.
func TestABadDisaggregatedGenerationWithoutRoom(t *testing.T) {
	for _, role := range []string{state.RolePrefill, state.RoleDecode} {
		t.Run(role, func(t *testing.T) {
			w := newCluster(node("1", 3))
			spec := "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 1}\n"
			key := w.put(model("a", spec))
			w.run(8)
			old := w.statuses[key].Generation
			w.brokenRole[w.edit(key, spec+otherGeneration, false)] = role
			w.run(120)
			if c := w.condition(key, state.CondUpToDate); c.Reason != actors.CondRolledBack {
				t.Errorf("UpToDate = %+v", c)
			}
			available(t, w, key)
			if n := len(w.of("a")); n != 3 || w.statuses[key].Generation != old {
				t.Errorf("%d units of generation %s, want 3 of %s\n%s", n, w.statuses[key].Generation, old, strings.Join(w.journal, "\n"))
			}
		})
	}
}

// A change of the mode takes from the old set what the new one needs, and no more.
func TestAChangeOfModeWithoutRoom(t *testing.T) {
	for _, tc := range []struct{ before, after string }{
		{"  replicas: 4\n", "  mode: disagg\n"},
		{"  mode: disagg\n  prefill: {replicas: 3}\n  decode: {replicas: 1}\n", "  replicas: 4\n"},
	} {
		w := newCluster(node("1", 4))
		key := w.put(model("a", tc.before))
		w.run(8)
		ready(t, w, key)
		w.put(model("a", tc.after))
		staysAvailable(t, w, key, 40)
		ready(t, w, key)
		upToDate(t, w, key)
	}
}

// Room that is made is not for others: a model keeps its old generation while one that
// comes first waits for what it would leave, and keeps the room for itself otherwise.
func TestRoomThatIsMadeIsNotForOthers(t *testing.T) {
	begin := func(t *testing.T) (*cluster, state.Key) {
		w := newCluster(node("1", 2))
		key := w.put(model("b", ""))
		w.run(8)
		w.nodes[0].GPUs = 1
		ready(t, w, key)
		return w, key
	}
	t.Run("one that comes first waits", func(t *testing.T) {
		w, key := begin(t)
		w.put(model("a", ""))
		w.run(3)
		w.put(model("b", otherGeneration))
		for range 20 {
			if r := w.round(); len(r.Stops) > 0 {
				t.Fatalf("stops %+v", r.Stops)
			}
			w.tick()
		}
		stalled(t, w, key, "comes first")
	})
	t.Run("one that comes later waits", func(t *testing.T) {
		w, key := begin(t)
		w.put(model("c", ""))
		w.run(3)
		w.put(model("b", otherGeneration))
		w.run(20)
		ready(t, w, key)
		upToDate(t, w, key)
	})
}

// A unit of the new generation that loses its node in mid-roll gets the room of an old one.
func TestANewUnitThatLostItsNodeGetsTheRoomOfAnOldOne(t *testing.T) {
	w := newCluster(node("1", 2), node("2", 1))
	w.nodes[1].Alive = false // both old units are on node 1
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	w.nodes[1].Alive = true
	generation := w.edit(key, "  replicas: 2\n"+otherGeneration, false)
	w.run(2)
	for _, u := range w.of("a") {
		if u.Generation != generation {
			continue
		}
		for i := range w.nodes {
			w.nodes[i].Alive = w.nodes[i].ID != u.PlacementGroup.Nodes[0]
		}
		w.losePlacement(u)
	}
	w.nodes[0].GPUs = 2
	w.run(30)
	ready(t, w, key)
	upToDate(t, w, key)
}

// An edit in mid-roll ends the new unit that is no longer wanted, and not the old one
// that serves: there is place for another then.
func TestAnEditInMidRollKeepsWhoServes(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	for _, size := range []int{32, 64, 128} {
		w.put(model("a", fmt.Sprintf("  engineArgs: {block_size: %d}\n", size)))
		w.run(1)
		if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
			t.Fatalf("not Available: %+v\n%s", c, strings.Join(w.journal, "\n"))
		}
	}
	w.run(10)
	ready(t, w, key)
}

// What is left of a role of the old generation and serves nobody, also what has lost its
// group, keeps no place from the new one: it goes together with what makes room.
func TestARoleThatServesNobodyKeepsNoPlace(t *testing.T) {
	const spec = "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 2}\n  update: {maxSurge: 0, maxUnavailable: 1}\n"
	for _, hurt := range []string{state.RolePrefill, state.RoleDecode} {
		for name, tc := range map[string]struct {
			happens func(w *cluster, u *state.Unit)
			before  string // another model's replicas, when the edit comes
		}{
			"its groups are lost": {func(w *cluster, u *state.Unit) { w.losePlacement(u) }, "  priority: 5\n  replicas: 2\n"},
			"it exits at once":    {func(w *cluster, u *state.Unit) { w.exit(u, &u.Actors[0], 1) }, ""},
		} {
			t.Run(hurt+", "+name, func(t *testing.T) {
				w := newCluster(node("1", 4))
				key := w.put(model("a", spec))
				w.run(8)
				ready(t, w, key)
				w.broken[w.statuses[key].Generation] = true // nothing of it starts any more
				for _, u := range w.of("a") {
					if u.Role == hurt {
						tc.happens(w, u)
					}
				}
				if tc.before != "" {
					w.put(model("b", tc.before))
					w.run(3)
				}
				w.put(model("a", spec+otherGeneration))
				w.run(60)
				available(t, w, key)
				if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
					t.Log(strings.Join(w.journal, "\n"))
				}
			})
		}
	}
}
