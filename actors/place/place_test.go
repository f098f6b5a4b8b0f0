package place

import (
	"slices"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func node(id string, gpus, free int) Room {
	return Room{Node: state.Node{ID: id, GPUs: gpus, CPUs: 8, Alive: true}, FreeGPUs: free, FreeCPUs: 8}
}

func labelled(n Room, labels map[string]string) Room {
	n.Labels = labels
	return n
}

func TestWorker(t *testing.T) {
	worker := map[string]string{nodeTypeLabel: nodeTypeWorker}
	head := labelled(node("h", 8, 8), map[string]string{nodeTypeLabel: nodeTypeHead})
	head.Head = true
	dead := node("d", 16, 16)
	dead.Alive = false
	busy := node("a", 8, 8)
	busy.FreeCPUs = 0
	for _, row := range []struct {
		name   string
		needs  actors.Needs
		nodes  []Room
		on     string // the nodes counted on
		gpus   []int
		reason string
		asks   []int // what is asked for if nodes may come
	}{
		{"one node holds it", actors.Needs{GPUs: 4, CPUs: 1}, []Room{node("a", 8, 8)}, "a", []int{4}, "", nil},
		{"the fullest that holds it", actors.Needs{GPUs: 2, CPUs: 1}, []Room{node("a", 8, 8), node("b", 8, 2)}, "b", []int{2}, "", nil},
		{"the least id of equals", actors.Needs{GPUs: 2, CPUs: 1}, []Room{node("b", 8, 8), node("a", 8, 8)}, "a", []int{2}, "", nil},
		{"split where only that is free", actors.Needs{GPUs: 8, CPUs: 1}, []Room{node("a", 8, 4), node("b", 8, 4)}, "a b", []int{4, 4}, "", nil},
		{"free elsewhere instead of a split", actors.Needs{GPUs: 8, CPUs: 1}, []Room{node("a", 8, 4), node("b", 8, 4), node("c", 8, 8)}, "c", []int{8}, "", nil},
		{"nothing free: totals say the shape", actors.Needs{GPUs: 8, CPUs: 1}, []Room{node("a", 4, 4), node("b", 4, 0)}, "", nil, actors.ReasonInsufficientGPUs, []int{4, 4}},
		{"no shape", actors.Needs{GPUs: 8, CPUs: 1}, []Room{node("a", 4, 4), node("b", 3, 3)}, "", nil, actors.ReasonTPDoesNotFit, []int{8}},
		{"one node is a must", actors.Needs{GPUs: 8, CPUs: 1, OneNode: true}, []Room{node("a", 4, 4), node("b", 4, 4)}, "", nil, actors.ReasonTPDoesNotFit, []int{8}},
		{"no nodes", actors.Needs{GPUs: 1, CPUs: 1}, nil, "", nil, actors.WaitRayWithoutGPUs, []int{1}},
		{"no GPUs", actors.Needs{GPUs: 1, CPUs: 1, ExcludeHeadNode: true}, []Room{node("a", 0, 0), dead}, "", nil, actors.WaitRayWithoutGPUs, []int{1}},
		{"no GPUs that it may use", actors.Needs{GPUs: 1, CPUs: 1, ExcludeHeadNode: true}, []Room{head, labelled(node("a", 0, 0), worker)}, "", nil, actors.ReasonNoLabelledNodes, []int{1}},
		{"dead nodes do not count", actors.Needs{GPUs: 9, CPUs: 1}, []Room{dead, node("a", 8, 8)}, "", nil, actors.ReasonTPDoesNotFit, []int{9}},
		{"CPUs are missing", actors.Needs{GPUs: 1, CPUs: 2}, []Room{busy}, "", nil, actors.ReasonInsufficientCPUs, []int{1}},
		{"the head is left out", actors.Needs{GPUs: 8, CPUs: 1, ExcludeHeadNode: true}, []Room{head, labelled(node("a", 8, 8), worker)}, "a", []int{8}, "", nil},
		{"no node says that it is a worker", actors.Needs{GPUs: 1, CPUs: 1, ExcludeHeadNode: true}, []Room{head, node("a", 8, 8)}, "", nil, actors.ReasonNoLabelledNodes, []int{1}},
		{"selected", actors.Needs{GPUs: 1, CPUs: 1, NodeSelector: map[string]string{"zone": "b"}},
			[]Room{labelled(node("a", 8, 1), map[string]string{"zone": "a"}), labelled(node("b", 8, 8), map[string]string{"zone": "b"})}, "b", []int{1}, "", nil},
		{"no GPU: the node with the fewest", actors.Needs{CPUs: 1}, []Room{node("a", 8, 8), node("b", 0, 0)}, "b", []int{0}, "", nil},
		{"no GPU and no CPU", actors.Needs{CPUs: 9}, []Room{node("a", 8, 8)}, "", nil, actors.ReasonInsufficientCPUs, []int{0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			shape, unfit := Worker(row.needs, row.nodes)
			if unfit == nil {
				unfit = &Unfit{Shape: &Shape{}}
			}
			if unfit.Reason != row.reason {
				t.Fatalf("got reason %q (%s), want %q", unfit.Reason, unfit.Message, row.reason)
			}
			if got := strings.Join(shape.Nodes, " "); got != row.on {
				t.Errorf("counts on %q, want %q", got, row.on)
			}
			if got := gpusOf(shape); !slices.Equal(got, row.gpus) {
				t.Errorf("got bundles of %v GPUs, want %v", got, row.gpus)
			}
			if got := gpusOf(*unfit.Shape); !slices.Equal(got, row.asks) {
				t.Errorf("asks for bundles of %v GPUs, want %v", got, row.asks)
			}
		})
	}
}

func gpusOf(s Shape) []int {
	var gpus []int
	for _, b := range s.Bundles {
		gpus = append(gpus, b.GPU)
	}
	return gpus
}

func TestUnfitSaysTheNumbers(t *testing.T) {
	_, unfit := Worker(actors.Needs{GPUs: 4, CPUs: 1}, []Room{node("a", 4, 1), node("b", 4, 2)})
	if want := "needs 4 GPUs, and 3 of 8 are free on 2 eligible nodes"; unfit == nil || unfit.Message != want {
		t.Errorf("got %+v, want %q", unfit, want)
	}
}

func TestMatchesSelectors(t *testing.T) {
	labels := map[string]string{"zone": "a"}
	for selector, want := range map[string]bool{
		"a": true, "b": false, "!a": false, "!b": true, "in(b, a)": true, "in(b,c)": false, "!in(a)": false, "!in(b)": true,
	} {
		if got := matches(map[string]string{"zone": selector}, labels); got != want {
			t.Errorf("%s: got %v, want %v", selector, got, want)
		}
	}
	if matches(map[string]string{"rack": "1"}, labels) || !matches(map[string]string{"rack": "!1"}, labels) {
		t.Error("an absent label is not its value")
	}
}

func drawNodes(t *rapid.T) []Room {
	var nodes []Room
	for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
		gpus := rapid.IntRange(0, 8).Draw(t, "gpus")
		n := node(string(rune('a'+i)), gpus, rapid.IntRange(0, gpus).Draw(t, "free"))
		n.Alive = rapid.IntRange(0, 5).Draw(t, "alive") > 0
		n.FreeCPUs = rapid.IntRange(0, 3).Draw(t, "cpus")
		n.Head = i == 0
		n.Labels = map[string]string{nodeTypeLabel: nodeTypeWorker}
		if n.Head {
			n.Labels[nodeTypeLabel] = nodeTypeHead
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func drawNeeds(t *rapid.T) actors.Needs {
	return actors.Needs{
		GPUs:            rapid.IntRange(0, 16).Draw(t, "need"),
		CPUs:            rapid.IntRange(0, 2).Draw(t, "cpu"),
		OneNode:         rapid.Bool().Draw(t, "oneNode"),
		ExcludeHeadNode: rapid.Bool().Draw(t, "excludeHead"),
	}
}

// Property: a shape holds the worker, stands on nodes that have the room, and does
// not depend on the order of the nodes, which are left as they were.
func TestShapeNeverExceedsNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, needs := drawNodes(t), drawNeeds(t)
		before := slices.Clone(nodes)
		shape, unfit := Worker(needs, nodes)
		if diff := cmp.Diff(before, nodes); diff != "" {
			t.Fatalf("the nodes were changed: %s", diff)
		}
		shuffled, unfitShuffled := Worker(needs, rapid.Permutation(nodes).Draw(t, "order"))
		if diff := cmp.Diff(shape, shuffled) + cmp.Diff(unfit, unfitShuffled); diff != "" {
			t.Fatalf("the order of the nodes decides: %s", diff)
		}
		if (unfit == nil) != fits(needs, nodes) {
			t.Fatalf("got %+v, %+v", shape, unfit)
		}
		if unfit != nil {
			return
		}
		total := 0
		for _, b := range shape.Bundles {
			total += b.GPU
		}
		if total != needs.GPUs {
			t.Fatalf("the bundles hold %d GPUs of %d", total, needs.GPUs)
		}
		for _, n := range shape.Take(nodes) {
			if n.FreeGPUs < 0 || n.FreeCPUs < 0 {
				t.Fatalf("node %s is over-committed: %+v", n.ID, shape)
			}
		}
		if shape.Strategy == StrictSpread && (needs.OneNode || len(slices.Compact(slices.Sorted(slices.Values(shape.Nodes)))) != len(shape.Bundles)) {
			t.Fatalf("bundles that must be spread share a node: %+v", shape)
		}
	})
}

// fits is the dumb planner: it tries every even split.
func fits(needs actors.Needs, nodes []Room) bool {
	for parts := 1; parts <= max(len(nodes), 1); parts++ {
		if needs.GPUs%parts != 0 || parts > 1 && (needs.OneNode || needs.GPUs == 0) {
			continue
		}
		holds := 0
		for _, n := range nodes {
			allowed := n.Alive && (!n.Head || !needs.ExcludeHeadNode)
			if allowed && (needs.GPUs == 0 || n.GPUs > 0) && n.FreeGPUs >= needs.GPUs/parts && n.FreeCPUs >= needs.CPUs {
				holds++
			}
		}
		if holds >= parts {
			return true
		}
	}
	return false
}
