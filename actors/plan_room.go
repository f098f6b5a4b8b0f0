package actors

import (
	"cmp"
	"math"
	"slices"

	"dynctl/state"
)

// room is what is still free on each node, kept while a plan is made.
type room struct {
	nodes []NodeRoom
}

// newRoom takes from each node what our units hold there. A unit whose nodes are
// not known yet is counted where it would fit first; a bundle whose node died holds
// nothing: its replacement may have the room. Ray's own word on what is
// free is a second old at most, so the smaller of the two counts.
func newRoom(nodes []state.Node, units []state.Unit) *room {
	r := &room{}
	index := map[string]int{}
	for _, n := range sortedNodes(nodes) {
		index[n.ID] = len(r.nodes)
		r.nodes = append(r.nodes, NodeRoom{Node: n, FreeGPUs: n.GPUs, FreeCPUs: n.CPUs})
	}
	for _, u := range sortedUnits(units) {
		if len(u.PlacementGroup.Bundles) == 0 || u.PlacementGroup.State == "REMOVED" {
			continue
		}
		for b, shape := range u.PlacementGroup.Bundles {
			id := nodeOf(u, b)
			i, known := index[id]
			switch {
			case known:
				r.take(i, shape)
			case id == "" && u.PlacementGroup.State != "RESCHEDULING":
				r.takeAnywhere(shape)
			}
		}
	}
	for i := range r.nodes {
		n := &r.nodes[i]
		if n.Node.FreeGPUs != nil {
			n.FreeGPUs = min(n.FreeGPUs, int(math.Floor(*n.Node.FreeGPUs)))
		}
		if n.Node.FreeCPUs != nil {
			n.FreeCPUs = min(n.FreeCPUs, int(math.Floor(*n.Node.FreeCPUs)))
		}
		n.FreeGPUs, n.FreeCPUs = max(n.FreeGPUs, 0), max(n.FreeCPUs, 0)
	}
	return r
}

// nodeOf is the node that holds a bundle; empty while that is not known.
func nodeOf(u state.Unit, bundle int) string {
	if bundle < len(u.PlacementGroup.Nodes) {
		return u.PlacementGroup.Nodes[bundle]
	}
	for _, a := range u.Actors {
		if a.Bundle == bundle {
			return a.Node
		}
	}
	return ""
}

func (r *room) take(i int, b state.BundleShape) {
	r.nodes[i].FreeGPUs -= b.GPU
	r.nodes[i].FreeCPUs -= b.CPU
}

// takeAnywhere takes from the first node with room; if there is none, from the
// one with most, for the group waits there and has the older claim.
func (r *room) takeAnywhere(b state.BundleShape) {
	most := -1
	for i, n := range r.nodes {
		if !n.Alive {
			continue
		}
		if n.FreeGPUs >= b.GPU && n.FreeCPUs >= b.CPU {
			r.take(i, b)
			return
		}
		if most < 0 || n.FreeGPUs > r.nodes[most].FreeGPUs {
			most = i
		}
	}
	if most >= 0 {
		r.take(most, b)
	}
}

// commit takes what a chosen shape needs.
func (r *room) commit(s Shape) { r.nodes = s.Take(r.nodes) }

func sortedNodes(nodes []state.Node) []state.Node {
	return slices.SortedFunc(slices.Values(nodes), func(a, b state.Node) int { return cmp.Compare(a.ID, b.ID) })
}
