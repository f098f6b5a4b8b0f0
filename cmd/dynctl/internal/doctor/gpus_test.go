package doctor

import (
	"strings"
	"testing"

	"dynctl/state"
)

// TestGPUsThatNobodyHolds: where something waits for GPUs, those that Ray counts as taken
// and no unit holds are named, by node.
func TestGPUsThatNobodyHolds(t *testing.T) {
	free := func(n float64) *float64 { return &n }
	group := state.PlacementGroup{Bundles: []state.BundleShape{{CPU: 1, GPU: 4}, {CPU: 1, GPU: 2}}, Nodes: []string{"a", "b"}}
	waits := state.Status{Conditions: []state.Condition{{Type: state.CondScheduled, Status: state.StatusFalse, Reason: "InsufficientGPUs", Message: "needs 4"}}}
	for _, tc := range []struct {
		name       string
		freeA      *float64
		waits      bool
		want, none string
	}{
		{"two are lost", free(2), true, "2 of 8 GPUs of node a are taken, and not by a unit", "node b"},
		{"all are held", free(4), true, "", "not by a unit"},
		{"half of one, by a task", free(3.5), true, "", "not by a unit"},
		{"it is not known", nil, true, "", "not by a unit"},
		{"nothing waits", free(2), false, "", "not by a unit"},
	} {
		var d Doctor
		d.nodes = []state.Node{
			{ID: "a", GPUs: 8, Alive: true, FreeGPUs: tc.freeA}, {ID: "b", GPUs: 2, Alive: true, FreeGPUs: free(0)},
			{ID: "c", GPUs: 8, FreeGPUs: free(0)},
		}
		d.units = []*state.Unit{{Unit: "u", PlacementGroup: group}}
		if tc.waits {
			d.models = append(d.models, Object{Status: &waits})
		}
		d.gpus()
		var said strings.Builder
		for _, f := range d.findings {
			said.WriteString(f.Result + " " + f.Message + "\n")
		}
		if got := said.String(); !strings.Contains(got, tc.want) || strings.Contains(got, tc.none) {
			t.Errorf("%s: said\n%s", tc.name, got)
		}
	}
}
