package place

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"dynctl/actors"
	"dynctl/state"
)

// The shortcut for a worker on one node chooses what the search over all shapes does.
func TestOneNodeIsTheFirstShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := func(name string) map[string]string {
			return map[string]string{"zone": rapid.SampledFrom([]string{"a", "b"}).Draw(t, name)}
		}
		var nodes []Room
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			nodes = append(nodes, Room{Node: state.Node{ID: string(rune('a' + i)), Alive: rapid.IntRange(0, 4).Draw(t, "alive") > 0, Head: i == 0,
				GPUs: rapid.IntRange(0, 4).Draw(t, "gpus"), Labels: label("label")},
				FreeGPUs: rapid.IntRange(-1, 4).Draw(t, "free"), FreeCPUs: rapid.IntRange(0, 4).Draw(t, "cpus")})
		}
		needs := actors.Needs{GPUs: rapid.IntRange(1, 4).Draw(t, "needs"), CPUs: rapid.IntRange(0, 3).Draw(t, "beside"), OneNode: true,
			ExcludeHeadNode: rapid.Bool().Draw(t, "head")}
		if rapid.Bool().Draw(t, "selects") {
			needs.NodeSelector = label("selector")
		}
		eligible, _ := eligibleNodes(needs, Topology(nodes, needs.ExcludeHeadNode))
		want, fits := layOut(needs, eligible, func(n Room) (gpus, cpus int) { return n.FreeGPUs, n.FreeCPUs })
		got, ok := onOneNode(needs, nodes)
		if ok != fits || !reflect.DeepEqual(want, got) {
			t.Fatalf("%+v %v, want %+v %v", got, ok, want, fits)
		}
	})
}
