package plan_test

import (
	"math"
	"testing"

	"dynctl/actors/plan"
)

// TestReplicasWithoutEnd: how many replicas are asked for costs nothing where there is room
// for few. A spec that an earlier version has accepted may ask for any number.
func TestReplicasWithoutEnd(t *testing.T) {
	w := newCluster(node("1", 4))
	w.put(model("a", "  resources: {gpus: 1}\n"))
	w.put(model("b", "  mode: disagg\n  resources: {gpus: 1}\n"))
	in, _ := w.input()
	endless := math.MaxInt
	for _, m := range in.Desired.Models {
		if m.Name == "a" {
			m.Spec.Replicas = &endless
		}
	}
	r := plan.Plan(in)
	if len(r.Starts) != 5 { // with infra
		t.Errorf("%d starts, want one for each GPU", len(r.Starts))
	}
	if len(r.Waits) == 0 || len(r.Waits) > 3 {
		t.Errorf("waits %+v, want one for each role that finds no room", r.Waits)
	}
}
