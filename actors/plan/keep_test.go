package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// While who serves is not known, a restart waits: what is not heard of may serve.
func TestARestartWaitsForEtcdAndTheFrontend(t *testing.T) {
	for name, away := range map[string]func(*cluster, bool){
		"etcd":     func(w *cluster, yes bool) { w.etcdAway = yes },
		"frontend": func(w *cluster, yes bool) { w.frontendAway = yes },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			key := w.put(model("a", "  replicas: 3\n"))
			w.run(8)
			away(w, true)
			w.put(model("a", "  replicas: 3\n  restart: again\n"))
			for range 5 {
				if r := w.round(); len(r.Starts) > 0 {
					t.Fatalf("starts %v", starts(r))
				}
				w.tick()
			}
			away(w, false)
			for range 20 {
				if r := w.round(); len(r.Starts) > 1 {
					t.Fatalf("starts %v, want one at a time", starts(r))
				}
				w.tick()
			}
			ready(t, w, key)
			for _, u := range w.of("a") {
				if u.Restart != "again" {
					t.Errorf("%s was not restarted", u.Unit)
				}
			}
		})
	}
}

// A unit that runs and is not ready is what a restart is for, so it does not wait for
// the unit to be ready; but only as many go at a time as may be missing.
func TestARestartOfUnitsThatRunAndAreNotReady(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 3\n"))
	w.run(8)
	for _, u := range w.of("a")[:2] { // they run, and have lost their registration
		w.unregister("default", u.Actors[0].Lease)
	}
	w.put(model("a", "  replicas: 3\n  restart: again\n"))
	for range 20 {
		if r := w.round(); len(r.Starts) > 1 {
			t.Fatalf("starts %v, want one at a time", starts(r))
		}
		w.tick()
	}
	ready(t, w, key)
}

// twoReplicas is a model whose two replicas are ready.
func twoReplicas(t *testing.T, gpus int) (*cluster, state.Key) {
	t.Helper()
	w := newCluster(node("1", gpus))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	return w, key
}

func unitsLeft(t *testing.T, w *cluster, want string) {
	t.Helper()
	var got []string
	for _, u := range w.of("a") {
		got = append(got, u.Unit[strings.LastIndexByte(u.Unit, '_')+1:])
	}
	if g := strings.Join(got, " "); g != want {
		t.Errorf("units %q are left, want %q\n%s", g, want, strings.Join(w.journal, "\n"))
	}
}

func TestAScaleDownWaitsForThoseThatStay(t *testing.T) {
	t.Run("until they are ready", func(t *testing.T) {
		w, key := twoReplicas(t, 8)
		w.kill("a", 0)
		w.put(model("a", "  replicas: 1\n"))
		staysAvailable(t, w, key, 10)
		unitsLeft(t, w, "DP0")
	})
	t.Run("not for ever", func(t *testing.T) {
		w, _ := twoReplicas(t, 8)
		u := w.of("a")[0]
		w.broken[u.Generation] = true
		w.kill("a", 0)
		w.put(model("a", "  replicas: 1\n"))
		w.run(5)
		unitsLeft(t, w, "DP0 DP1")
		w.run(60)
		unitsLeft(t, w, "DP0")
	})
	t.Run("beyond the count at once", func(t *testing.T) {
		w, _ := twoReplicas(t, 8)
		w.put(model("a", "  replicas: 4\n"))
		w.run(8)
		w.kill("a", 0)
		w.put(model("a", "  replicas: 1\n"))
		if r := w.round(); len(r.Stops) != 2 {
			t.Errorf("stops %+v, want those of two of the three that serve", r.Stops)
		}
		w.run(8)
		unitsLeft(t, w, "DP0")
	})
	t.Run("also while etcd does not answer", func(t *testing.T) {
		w, _ := twoReplicas(t, 8)
		w.kill("a", 0)
		w.etcdAway = true
		w.put(model("a", "  replicas: 1\n"))
		if r := w.round(); len(r.Stops) != 0 {
			t.Errorf("stops %+v", r.Stops)
		}
	})
}

// What goes as a whole waits for nothing. A replica that serves in the stead of a lost one,
// which finds room only where that one stands, stays, and nothing is missing.
func TestAScaleDownDoesNotWait(t *testing.T) {
	t.Run("to zero", func(t *testing.T) {
		w, _ := twoReplicas(t, 8)
		w.kill("a", 0)
		w.put(model("a", "  replicas: 0\n"))
		w.run(3)
		unitsLeft(t, w, "")
	})
	t.Run("when suspended", func(t *testing.T) {
		w, _ := twoReplicas(t, 8)
		w.kill("a", 0)
		w.put(model("a", "  replicas: 1\n  suspend: true\n"))
		w.run(3)
		unitsLeft(t, w, "")
	})
	t.Run("and stays where it serves for one without room", func(t *testing.T) {
		w, key := twoReplicas(t, 2)
		for k, u := range w.units { // replica 0 is gone, and another has taken its room
			if u.Replica == 0 && u.Model == "a" {
				w.unregister("default", u.Actors[0].Lease)
				delete(w.units, k)
			}
		}
		w.nodes[0].GPUs = 1
		w.put(model("a", "  replicas: 1\n"))
		w.run(10)
		unitsLeft(t, w, "DP1")
		ready(t, w, key)
		w.nodes[0].GPUs = 2
		w.run(10)
		unitsLeft(t, w, "DP0")
		ready(t, w, key)
	})
}

// A worker over several nodes that loses one of them cannot go on, so what is left of
// it ends and it starts in another group, with no time-out in between.
func TestAWorkerOverSeveralNodesLosesOne(t *testing.T) {
	w := newCluster(node("1", 2), node("2", 2), node("3", 2))
	key := w.put(strings.Replace(model("a", "  engineArgs: {tensor_parallel_size: 4}\n"), "engine: mocker", "engine: vllm", 1))
	w.run(8)
	ready(t, w, key)
	u := w.of("a")[0]
	if len(u.Actors) != 2 {
		t.Fatalf("%d ranks, want 2", len(u.Actors))
	}
	i := 1 // the node of the second rank dies; Ray looks for another and has none yet
	for n := range w.nodes {
		if w.nodes[n].ID == u.Actors[i].Node {
			w.nodes[n].Alive = false
		}
	}
	w.exit(u, &u.Actors[i], -9)
	u.Actors[i].State, u.Actors[i].Node = state.ActorDead, ""
	u.PlacementGroup.State = "RESCHEDULING"
	w.settleState(u)
	r := w.round()
	if len(r.Starts) != 0 || len(r.Stops) != 1 || r.Stops[0].Reason != actors.ReasonPlacementRetry || r.Stops[0].GracePeriod.Seconds() > 10 {
		t.Fatalf("starts %v, stops %+v: want what is left to end soon", starts(r), r.Stops)
	}
	w.run(6)
	ready(t, w, key)
}

// A group that Ray reschedules holds no room against its own successor.
func TestAGroupThatIsRescheduledMakesPlaceForItself(t *testing.T) {
	w := newCluster(node("1", 1), node("2", 1))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	u := w.of("a")[0]
	for n := range w.nodes {
		if w.nodes[n].ID == u.Actors[0].Node {
			w.nodes = append(w.nodes[:n:n], w.nodes[n+1:]...)
			break
		}
	}
	w.losePlacement(u)
	u.PlacementGroup.State, u.PlacementGroup.Nodes = "RESCHEDULING", nil
	w.run(6)
	ready(t, w, key)
}

// A unit whose process ends to be restarted looks like one that is being stopped;
// so does one that an earlier agent was asked to stop, which the next goes on with.
// Nobody is asked to stop either.
func TestAUnitThatEndsIsNotStopped(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	w.of("a")[0].State = state.UnitStopping
	for range 3 {
		if r := w.round(); len(r.Stops) != 0 {
			t.Fatalf("stops %+v of a unit that is wanted", r.Stops)
		}
		w.restartAgent()
	}
	w.run(8)
	ready(t, w, key)
}

// What serves nobody makes room for the replica that stays, before the one that leaves.
func TestAScaleDownTakesTheRoomOfWhatDoesNotServe(t *testing.T) {
	const two = "  resources: {gpus: 2}\n"
	w := newCluster(node("1", 4))
	w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {requestPlane: tcp}\n") // nothing hangs at the dead
	key := w.put(model("a", "  replicas: 2\n"+two))
	w.run(8)
	ready(t, w, key)
	w.losePlacement(w.of("a")[0])
	w.edit(key, "  replicas: 2\n"+two+otherGeneration, false)
	for w.round(); len(w.of("a")) != 2 || w.of("a")[0].Generation == w.of("a")[1].Generation; w.round() {
		w.tick()
	}
	w.put(model("a", "  replicas: 1\n"+two))
	staysAvailable(t, w, key, 10)
	ready(t, w, key)
	upToDate(t, w, key)
}
