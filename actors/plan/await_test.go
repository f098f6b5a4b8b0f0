package plan_test

import (
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// A group that waits in Ray for room says what it waits for, in every round.
func TestAGroupThatWaitsSaysForWhat(t *testing.T) {
	for name, tc := range map[string]struct {
		placement, reason string
		nodes             []state.Node
		lose              bool
	}{
		"for nodes that are to come": {"  placement: {waitForNodes: true}\n", actors.ReasonWaitingForNodes, []state.Node{node("1", 4), node("2", 4)}, false},
		"for one that went":          {"", actors.ReasonTPDoesNotFit, []state.Node{node("1", 4), node("2", 5)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(tc.nodes...)
			w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n  frontend: {port: 8000}\n" + tc.placement)
			key := w.put(model("m", "  resources: {gpus: 5}\n"))
			w.round()
			if tc.lose { // before its group was made
				for _, u := range w.of("m") {
					u.PlacementGroup.State = "PENDING"
				}
				w.nodes[1].Alive = false
			}
			for range 3 {
				w.round()
				c := w.condition(key, state.CondScheduled)
				if c.Reason != tc.reason || !strings.Contains(c.Message, "5 GPUs") {
					t.Fatalf("Scheduled is %+v, want %s with the numbers", c, tc.reason)
				}
				if n := len(w.of("m")); n != 1 {
					t.Fatalf("%d units, want the one that waits", n)
				}
			}
		})
	}
}

// A place that is there without an actor waits for Ray, which is said: nothing else would
// tell it from an engine that starts.
func TestRayMakesTheActor(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(1)
	unit := w.of("a")[0]
	for _, row := range []struct {
		unit  state.UnitState
		group string
		want  bool
	}{
		{state.UnitPlacing, state.GroupPending, false},
		{state.UnitPlacing, state.GroupCreated, true},
		{state.UnitStarting, state.GroupCreated, false},
	} {
		unit.State, unit.PlacementGroup.State = row.unit, row.group
		w.round()
		c := w.condition(key, state.CondWorkersReady)
		if c.Reason != actors.CondStarting || strings.Contains(c.Message, "Ray makes its actor") != row.want {
			t.Errorf("%s in a group %s: %+v", row.unit, row.group, c)
		}
	}
}

// scheduledOnceAsked is what a round says of a unit's place when Ray was asked for it so long ago.
func scheduledOnceAsked(w *cluster, key state.Key, unit *state.Unit, ago time.Duration) state.Condition {
	unit.ChangedAt, unit.Revision = w.now.Add(-ago), w.next()
	in, kept := w.input()
	w.store(plan.Plan(in), kept)
	return w.condition(key, state.CondScheduled)
}

// A group that fits and that Ray does not place is told after a while, and not before: as long
// as a raylet hangs nothing else says why nothing moves.
func TestAGroupThatRayDoesNotPlaceIsTold(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(1)
	unit := w.of("a")[0]
	unit.State, unit.PlacementGroup.State, unit.ChangedAt = state.UnitPlacing, state.GroupPending, w.now
	in, _ := w.input()
	if next := plan.Plan(in).NextCheck; next.After(w.now.Add(10 * time.Second)) {
		t.Errorf("it is looked at again at %s, long after %s", next, w.now)
	}
	for _, row := range []struct {
		after time.Duration
		told  bool
	}{{0, false}, {9 * time.Second, false}, {10 * time.Second, true}, {time.Minute, true}} {
		c := scheduledOnceAsked(w, key, unit, row.after)
		if c.Reason != actors.CondPending || strings.Contains(c.Message, "Ray was asked for "+unit.Unit) != row.told {
			t.Errorf("after %s: %+v", row.after, c)
		}
	}
}

// The same while Ray does not even take the group: its tables hang, the agent goes on to answer
// and nothing else says why nothing moves.
func TestAGroupThatRayDoesNotTakeIsTold(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(1)
	unit := w.of("a")[0]
	for _, row := range []struct {
		after time.Duration
		told  bool
	}{{0, false}, {9 * time.Second, false}, {10 * time.Second, true}} {
		unit.State, unit.PlacementGroup.State = state.UnitPending, ""
		c := scheduledOnceAsked(w, key, unit, row.after)
		if c.Reason != actors.CondPending || strings.Contains(c.Message, "has not taken its placement group") != row.told {
			t.Errorf("after %s: %+v", row.after, c)
		}
	}
}

// A model that is deleted says so in each condition that asks for workers: it told that its spec
// asked for no replica.
func TestADeletedModelSaysSo(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(3)
	w.delete(key, true)
	w.round()
	for _, typ := range []string{state.CondWorkersReady, state.CondReady} {
		if c := w.condition(key, typ); c.Reason != actors.CondDeleting {
			t.Errorf("%+v, want %s", c, actors.CondDeleting)
		}
	}
}
