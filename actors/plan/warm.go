package plan

import (
	"maps"
	"slices"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// planWarm says which idle worker processes are to be kept on which nodes: of each server
// that asks for some, on the nodes on which a worker of one of its models may run. A server
// that has no model yet is taken to get one that needs a GPU. Any server's workers take
// them, so where several ask the largest number counts.
func (r *round) planWarm() {
	r.out.Warm = map[string]int{}
	for _, s := range r.servers {
		if count := s.Spec.WarmPool.ProcessesPerNode; count > 0 && r.askedFor(s) {
			r.warm(s, count)
		}
	}
}

// warm is the part of one server.
func (r *round) warm(s *server, count int) {
	needs := s.plainNeeds()
	for i := range r.in.Observed.Nodes {
		node := &r.in.Observed.Nodes[i]
		if r.out.Warm[node.ID] < count && mayRunAny(needs, node) {
			r.out.Warm[node.ID] = count
		}
	}
}

// plainNeeds are what the workers of a server need that Ray makes in a plain process, which
// is none with a runtime environment, each once.
func (s *server) plainNeeds() (needs []actors.Needs) {
	for _, m := range s.models {
		if m.deletion == deleted {
			continue
		}
		for i := range m.Template.Roles {
			role := &m.Template.Roles[i]
			known := slices.ContainsFunc(needs, func(n actors.Needs) bool { return runsWhere(n, role.Needs) })
			if len(role.RuntimeEnv) == 0 && !known {
				needs = append(needs, role.Needs)
			}
		}
	}
	if len(s.models) == 0 && len(s.Spec.RuntimeEnv) == 0 {
		exclude := s.Spec.Placement.ExcludeHeadNode
		needs = append(needs, actors.Needs{GPUs: 1, CPUs: 1, ExcludeHeadNode: exclude != nil && *exclude})
	}
	return needs
}

// runsWhere reports whether two workers may run on the same nodes, as [place.May] has it.
func runsWhere(a, b actors.Needs) bool {
	return (a.GPUs == 0) == (b.GPUs == 0) && a.CPUs == b.CPUs && a.ExcludeHeadNode == b.ExcludeHeadNode && maps.Equal(a.NodeSelector, b.NodeSelector)
}

func mayRunAny(needs []actors.Needs, node *state.Node) bool {
	for _, n := range needs {
		if place.May(n, node) {
			return true
		}
	}
	return false
}
