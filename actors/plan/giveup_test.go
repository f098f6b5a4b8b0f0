package plan_test

import (
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

const otherGeneration = "  engineArgs: {block_size: 32}\n"

// kill ends the process of a model's unit.
func (w *cluster) kill(name string, i int) {
	u := w.of(name)[i]
	w.exit(u, &u.Actors[0], -9)
}

// edit writes a spec that makes another generation, and breaks that one if asked to.
// It returns the generation.
func (w *cluster) edit(key state.Key, spec string, broken bool) string {
	w.put(model(key.Name, spec))
	in, _ := w.input()
	for _, m := range in.Desired.Models {
		if m.Name == key.Name {
			w.broken[m.Template.Generation] = broken
			return m.Template.Generation
		}
	}
	panic("no model " + key.Name)
}

// upToDate fails unless the condition is True.
func upToDate(t *testing.T, w *cluster, key state.Key) {
	t.Helper()
	if c := w.condition(key, state.CondUpToDate); c.Status != state.StatusTrue {
		t.Fatalf("%s is not UpToDate: %s: %s\n%s", key, c.Reason, c.Message, strings.Join(w.journal, "\n"))
	}
}

// A generation that was Ready is healed, and never given up for the one before it.
func TestAGenerationThatWasReadyIsNotGivenUp(t *testing.T) {
	t.Run("one replica killed three times", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		w.run(8)
		generation := w.edit(key, otherGeneration, false)
		w.run(20)
		for range 3 {
			w.kill("a", 0)
			w.run(30)
		}
		ready(t, w, key)
		upToDate(t, w, key)
		if g := w.statuses[key].Generation; g != generation {
			t.Errorf("generation %s runs, want %s", g, generation)
		}
	})
	t.Run("etcd does not answer after three kills", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", "  replicas: 2\n"))
		w.run(8)
		w.edit(key, "  replicas: 2\n"+otherGeneration, false)
		w.run(20)
		for range 3 {
			w.kill("a", 0)
			w.run(30)
		}
		w.etcdAway = true
		w.run(2)
		w.etcdAway = false
		w.run(2)
		ready(t, w, key)
		upToDate(t, w, key)
	})
}

// Who serves is not known while etcd does not answer, so nothing is given up then.
func TestNothingIsGivenUpWhileEtcdDoesNotAnswer(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(8)
	w.edit(key, otherGeneration, true)
	w.run(3)
	w.etcdAway = true
	w.run(60)
	if c := w.condition(key, state.CondUpToDate); c.Reason == actors.CondRolledBack {
		t.Fatalf("given up while etcd is away: %+v", c)
	}
	w.etcdAway = false
	w.run(20)
	if c := w.condition(key, state.CondUpToDate); c.Reason != actors.CondRolledBack {
		t.Errorf("UpToDate = %+v, want %s", c, actors.CondRolledBack)
	}
	if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
		t.Errorf("Available = %+v", c)
	}
}

// What the model was like at the moment of the edit does not matter: a generation
// that was Ready once is what a bad one goes back to.
func TestABadEditOfAModelThatWasJustHurt(t *testing.T) {
	for name, gpus := range map[string]int{"room": 8, "no room": 1} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", gpus))
			key := w.put(model("a", ""))
			w.run(8)
			old := w.statuses[key].Generation
			w.kill("a", 0)
			w.round() // its status says that it is not Ready
			w.edit(key, otherGeneration, true)
			w.run(60)
			available(t, w, key)
			if c := w.condition(key, state.CondUpToDate); c.Status != state.StatusFalse {
				t.Errorf("UpToDate = %+v, though the accepted generation does not run", c)
			}
			for _, u := range w.of("a") {
				if u.Generation == old && u.State == state.UnitRunning {
					return
				}
			}
			t.Errorf("no unit of %s runs\n%s", old, strings.Join(w.journal, "\n"))
		})
	}
}

// A unit of an older generation is executed again by its own template for as long as
// it is there, also after two edits.
func TestUnitsOfEveryGenerationAreHealed(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	old := w.statuses[key].Generation
	w.edit(key, otherGeneration, true)
	w.run(6)
	w.edit(key, "  engineArgs: {block_size: 64}\n", true)
	w.run(2)
	for i, u := range w.of("a") {
		if u.Generation == old {
			w.kill("a", i)
		}
	}
	w.run(30)
	available(t, w, key)
	w.edit(key, "", false)
	w.run(20)
	ready(t, w, key)
	upToDate(t, w, key)
	if n := len(w.of("a")); n != 1 {
		t.Errorf("%d units, want 1", n)
	}
}

// A disaggregated generation serves nobody while one of its roles does not start.
func TestADisaggregatedGenerationWithOneBadRole(t *testing.T) {
	for name, gpus := range map[string]int{"room": 8, "no room": 2} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", gpus))
			key := w.put(model("a", "  mode: disagg\n"))
			w.run(8)
			generation := w.edit(key, "  mode: disagg\n"+otherGeneration, false)
			w.brokenRole[generation] = state.RolePrefill
			w.run(90)
			available(t, w, key)
			want := actors.WaitRolloutStalled
			if gpus == 2 {
				want = actors.CondRolledBack
			}
			if c := w.condition(key, state.CondUpToDate); c.Reason != want {
				t.Errorf("UpToDate = %+v, want %s", c, want)
			}
		})
	}
}

// A generation that comes back after a change of the mode runs as many replicas as
// its own spec asked for.
func TestAFailedChangeOfModeBringsTheOldSetBack(t *testing.T) {
	w := newCluster(node("1", 3))
	key := w.put(model("a", "  replicas: 3\n"))
	w.run(8)
	ready(t, w, key)
	old := w.statuses[key].Generation
	w.edit(key, "  mode: disagg\n", true)
	w.run(60)
	if c := w.condition(key, state.CondUpToDate); c.Reason != actors.CondRolledBack {
		t.Errorf("UpToDate = %+v", c)
	}
	serving := 0
	for _, u := range w.of("a") {
		if u.Generation == old && u.State == state.UnitRunning {
			serving++
		}
	}
	if serving != 3 {
		t.Errorf("%d replicas of the old generation run, want 3\n%s", serving, strings.Join(w.journal, "\n"))
	}
}

// A generation whose room was taken by somebody else before Ray placed it does not keep
// the one before it from coming back.
func TestAGenerationThatLostItsRoomIsGivenUp(t *testing.T) {
	w := newCluster(node("1", 2))
	key := w.put(model("a", ""))
	w.run(8)
	old := w.statuses[key].Generation
	w.edit(key, "  resources: {gpus: 2}\n", false)
	for range 20 {
		if r := w.round(); len(r.Starts) > 0 {
			w.nodes[0].GPUs = 1 // a Ray job of somebody else's
		}
		w.tick()
	}
	w.now = w.now.Add(5 * time.Minute)
	w.run(20)
	c := w.condition(key, state.CondUpToDate)
	if served := w.condition(key, state.CondAvailable); served.Status != state.StatusTrue {
		t.Errorf("Available = %+v, UpToDate = %+v\n%s", served, c, strings.Join(w.journal, "\n"))
	}
	if c.Status == state.StatusTrue || w.of("a")[0].Generation != old {
		t.Errorf("UpToDate = %+v, unit %s", c, w.of("a")[0].Unit)
	}
}
