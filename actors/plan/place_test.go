package plan_test

import (
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// What serves and loses its place while its successor finds none comes back itself: the
// successor may never find one.
func TestAnOldUnitThatLosesItsPlaceComesBack(t *testing.T) {
	const nowhere = "  placement: {nodeSelector: {zone: nowhere}}\n"
	for name, tc := range map[string]struct{ server, before, after string }{
		"one replica":    {"", "", nowhere},
		"two replicas":   {"", "  replicas: 2\n", nowhere},
		"nodes may come": {"  placement: {waitForNodes: true}\n", "", "  resources: {gpus: 64}\n"},
		"disaggregated":  {"", "  mode: disagg\n", nowhere},
		"no surge":       {"", "  update: {maxSurge: 0}\n", nowhere},
		"two GPUs each":  {"", "  resources: {gpus: 2}\n", nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 2))
			w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n  frontend: {port: 8000}\n" + tc.server)
			key := w.put(model("a", tc.before))
			w.run(10)
			ready(t, w, key)
			old := w.statuses[key].Generation
			w.put(model("a", tc.before+tc.after))
			w.run(10)
			w.losePlacement(w.of("a")[0])
			w.run(20)
			available(t, w, key)
			for _, u := range w.of("a") {
				if u.Generation == old && u.State != state.UnitRunning {
					t.Errorf("unit %s is %s", u.Unit, u.State)
				}
			}
			upTo := actors.WaitRolloutStalled
			if tc.server != "" {
				upTo = actors.CondRolling // until the nodes come
			}
			if c := w.condition(key, state.CondUpToDate); c.Reason != upTo {
				t.Errorf("UpToDate = %+v, want %s", c, upTo)
			}
			w.put(model("a", tc.before))
			w.run(10)
			ready(t, w, key)
			upToDate(t, w, key)
		})
	}
}

// Where neither finds room the old one waits for it, and is what a new node serves.
func TestAnOldUnitWaitsForRoomBesideItsSuccessor(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	w.put(model("a", "  resources: {gpus: 64}\n"))
	w.run(8)
	w.nodes[0].Alive = false
	w.losePlacement(w.of("a")[0])
	w.run(10)
	w.nodes = append(w.nodes, node("2", 1))
	w.run(10)
	available(t, w, key)
}

// Where the successor finds room nothing old comes back.
func TestAnOldUnitThatLosesItsPlaceLeavesItToItsSuccessor(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	old := w.statuses[key].Generation
	w.losePlacement(w.of("a")[0])
	w.put(model("a", otherGeneration))
	w.run(10)
	ready(t, w, key)
	upToDate(t, w, key)
	if g := w.statuses[key].Generation; g == old {
		t.Errorf("the old generation %s came back", g)
	}
}
