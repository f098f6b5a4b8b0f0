package actors

import (
	"slices"
)

// failuresToLetGo is how many failures in a row of a replica that stays end the wait
// of those that leave.
const failuresToLetGo = 5

// scaleDown stops the replicas beyond the count: the highest index leaves, and at once
// if it does not serve. One that serves stays until as many others do as are wanted,
// but for a replica that fails again and again, or that waits for its room, nobody
// waits.
func (p *planner) scaleDown(m *modelView) {
	for _, r := range m.roles {
		good := func(v unitView) bool {
			return v.serving() || v.running && !m.server.regs.Known && !v.stopping
		}
		stays := func(v unitView) bool { return v.Replica < r.desired }
		spare := countIf(r.fresh, good) + countIf(r.old, good) - r.desired + p.givenUp(m, r)
		if !m.server.regs.Known && r.desired > 0 || p.frontendBehind(m.server) {
			spare = 0 // what runs may serve or not, and the frontend may not hear of it
		}
		for _, v := range lastFirst(slices.Clone(r.fresh)) {
			if stays(v) || v.stopping || good(v) && spare <= 0 {
				continue
			}
			if good(v) {
				spare--
			}
			p.stopUnit(m, v.Unit, ReasonScaledDown, "the spec asks for fewer replicas")
		}
		for i := range r.fresh {
			r.fresh[i].stopping = r.fresh[i].stopping || p.ending(r.fresh[i].Key())
		}
	}
}

// givenUp counts the replicas of a role that would stay and that nobody waits for.
func (p *planner) givenUp(m *modelView, r *roleView) (n int) {
	there := map[int]bool{}
	var leaving []unitView
	for _, v := range r.fresh {
		there[v.Replica] = !unplaced(v.Unit)
		switch {
		case v.Replica >= r.desired:
			leaving = append(leaving, v)
		case !v.stopping && !v.running && v.failed(failuresToLetGo):
			there[v.Replica] = true // counted
			n++
		}
	}
	if len(leaving) == 0 {
		return n
	}
	missing := 0
	for i := range r.desired {
		if !there[i] {
			missing++
		}
	}
	if missing == 0 || p.waitsForNodes(m.server) {
		return n
	}
	need, idle := []lack{{role: r}}, m.idle() // what serves nobody makes room first
	if fit(need, p.roomWithout(m, idle)) != nil && fit(need, p.roomWithout(m, slices.Concat(idle, leaving))) == nil {
		n += missing
	}
	return n
}
