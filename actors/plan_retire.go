package actors

import "dynctl/state"

// markRetiring tells, of the stops of this round, those that leave a generation
// without a worker of the role while another generation serves. Dynamo's frontend
// chooses a generation for each request, and sends it again within that one alone:
// what is on its way to such a worker has nobody else to go to.
func (p *planner) markRetiring() {
	if len(p.out.Stops) == 0 {
		return
	}
	ending := map[state.UnitKey]*Stop{}
	for i := range p.out.Stops {
		ending[p.out.Stops[i].Key] = &p.out.Stops[i]
	}
	for _, m := range p.models {
		type group struct{ generation, role string }
		staying := map[group]int{}
		listed := map[string]bool{} // generations that go on serving
		units := m.units()
		for _, v := range units {
			if v.serving() && ending[v.Key()] == nil {
				staying[group{v.Generation, v.Role}]++
				listed[v.Generation] = listed[v.Generation] || v.listed
			}
		}
		for _, v := range units {
			stop := ending[v.Key()]
			if stop == nil || !v.serving() || staying[group{v.Generation, v.Role}] > 0 {
				continue
			}
			for g, ok := range listed {
				stop.Retires = stop.Retires || ok && g != v.Generation
			}
		}
	}
}
