package place

import (
	"dynctl/actors"
	"dynctl/state"
)

// May reports whether a worker, or one of its ranks, may ever run on a node, whatever runs
// there now.
func May(needs actors.Needs, node *state.Node) bool {
	return node.Alive && (needs.GPUs == 0 || node.GPUs >= 1) && (!needs.ExcludeHeadNode || !node.Head) &&
		node.CPUs >= needs.CPUs && matches(labelsOf(needs), node.Labels)
}
