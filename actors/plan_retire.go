package actors

import (
	"slices"

	"dynctl/state"
)

// planRetiring tells, of the stops of this round, those that leave a generation
// without a worker of the role while another generation serves. Dynamo's frontend
// chooses a generation for each request, and sends it again within that one alone:
// what is on its way to such a worker has nobody else to go to.
//
// One whose generation has a dead worker that is still registered waits until that
// is gone: alone it would be all that the frontend knows of the generation, and be
// chosen.
func (p *planner) planRetiring() {
	if len(p.out.Stops) == 0 {
		return
	}
	ending := map[state.UnitKey]bool{}
	useless := map[state.UnitKey]bool{}
	for _, s := range p.out.Stops {
		ending[s.Key] = true
		useless[s.Key] = s.Reason == ReasonSuperseded
	}
	retiring, early := map[state.UnitKey]bool{}, map[state.UnitKey]bool{}
	for _, m := range p.models {
		for _, v := range m.retiring(ending) {
			if useless[v.Key()] {
				continue
			}
			retiring[v.Key()] = true
			early[v.Key()] = m.server.haunted(v.Generation)
		}
	}
	p.out.Stops = slices.DeleteFunc(p.out.Stops, func(s Stop) bool { return early[s.Key] })
	for i, s := range p.out.Stops {
		p.out.Stops[i].Retires = retiring[s.Key]
	}
}

// retiring are the units among those that end whose generation keeps no other one
// of their role, while another generation goes on serving.
func (m *modelView) retiring(ending map[state.UnitKey]bool) (out []unitView) {
	type group struct{ generation, role string }
	staying := map[group]bool{}
	var listed []string // generations that go on serving
	units := m.units()
	for _, v := range units {
		if !v.serving() || ending[v.Key()] {
			continue
		}
		staying[group{v.Generation, v.Role}] = true
		if v.listed && !slices.Contains(listed, v.Generation) {
			listed = append(listed, v.Generation)
		}
	}
	for _, v := range units {
		another := func(g string) bool { return g != v.Generation }
		if v.serving() && ending[v.Key()] && !staying[group{v.Generation, v.Role}] && slices.ContainsFunc(listed, another) {
			out = append(out, v)
		}
	}
	return out
}

// haunted says that some instance of a generation stands in etcd that no process
// claims. It is revoked, or runs out, in 10 s at most.
func (s *serverView) haunted(generation string) bool {
	namespace := Namespace(s.Spec.DynamoNamespace, generation)
	claimed := claims(s.units)
	return slices.ContainsFunc(s.regs.Instances, func(i state.Instance) bool {
		return i.Namespace == namespace && claimed[i.Lease] == 0
	})
}
