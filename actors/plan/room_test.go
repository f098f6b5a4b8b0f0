package plan_test

import (
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// An agent that was started after a node had died does not list it. What was on
// that node must not stand in the way of its own replacement.
func TestWhatWasOnADeadNodeTakesNoRoom(t *testing.T) {
	for name, forget := range map[string]func(u *state.Unit){
		"its node is named":     func(*state.Unit) {},
		"its node is not named": func(u *state.Unit) { u.PlacementGroup.Nodes, u.Actors[0].Node = nil, "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 1), node("2", 1))
			w.put(model("a", "  replicas: 2\n"))
			w.run(8)
			var lost *state.Unit
			for _, u := range w.of("a") {
				if u.PlacementGroup.Nodes[0] == "2" {
					lost = u
				}
			}
			w.nodes = []state.Node{node("1", 1), node("3", 1)}
			w.exit(lost, &lost.Actors[0], -9)
			lost.Actors[0].State, lost.PlacementGroup.State = state.ActorDead, "RESCHEDULING"
			forget(lost)
			w.settleState(lost)
			r := w.round()
			if len(r.Starts) != 1 || r.Starts[0].Template.Unit != lost.Unit || r.Starts[0].Reason != actors.ReasonPlacementRetry {
				t.Errorf("starts %+v, waits %+v; want the lost unit placed again", r.Starts, r.Waits)
			}
		})
	}
}
