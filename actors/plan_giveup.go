package actors

import (
	"dynctl/state"
)

// failuresToFallBack is how many exits in a row prove that a replacement which
// had to take the old one's place does not start.
const failuresToFallBack = 3

// givesUp says that the wanted generation is to be left for the previous one:
//
//  1. it was never Ready: one that was is healed, however often it exits
//  2. a generation is known that was Ready before it
//  3. it is known who is registered, so who does not serve is known too
//  4. some role of it fails, or has lost the room that was made for it and the
//     previous generation finds room; and fewer replicas serve than are wanted
func (p *planner) givesUp(m *modelView) bool {
	if m.fellBack || m.Template.Proven || !m.canFallBack() || !m.server.regs.Known || !m.short() {
		return false
	}
	return m.failing() || m.refused() && p.placesPrevious(m)
}

// refused says that a role of which no unit serves was refused its place.
func (m *modelView) refused() bool {
	for _, r := range m.roles {
		if r.refused && countIf(r.fresh, serving) == 0 {
			return true
		}
	}
	return false
}

func (p *planner) placesPrevious(m *modelView) bool {
	nodes := p.room.nodes
	for _, r := range m.Previous.Roles {
		shape, unfit := ChooseShape(r.Needs, nodes)
		if unfit != nil {
			return false
		}
		nodes = shape.Take(nodes)
	}
	return true
}

// canFallBack says that a generation is known which was Ready before this one.
func (m *modelView) canFallBack() bool {
	return m.Previous != nil && m.Previous.Generation != m.Template.Generation
}

// short says that fewer replicas serve than are wanted.
func (m *modelView) short() bool {
	for _, r := range m.roles {
		if countIf(r.fresh, serving)+countIf(r.old, serving) < r.desired {
			return true
		}
	}
	return false
}

// failing says that some role of the wanted generation does not start. Without that
// role the others serve nobody.
func (m *modelView) failing() bool {
	for _, r := range m.roles {
		if r.failing() {
			return true
		}
	}
	return false
}

// failing says that no new unit of the role serves and one has failed too often.
func (r *roleView) failing() bool {
	bad := false
	for _, v := range r.fresh {
		if v.serving() {
			return false
		}
		bad = bad || v.failed(failuresToFallBack)
	}
	return bad
}

// failed says that an execution or the placement of a unit has failed so often in a row.
func (u unitView) failed(times int) bool {
	if unplaced(u.Unit) && u.Failures >= times {
		return true
	}
	for _, a := range u.Actors {
		if a.Failures >= times {
			return true
		}
	}
	return false
}

// fellBack reads from the status that the accepted revision was given up.
func fellBack(d DesiredModel) bool {
	if d.Status == nil || d.Status.AcceptedRevision != d.Accepted || !state.SameBucket(d.Status.AcceptedIn, d.AcceptedIn) {
		return false
	}
	c, ok := d.Status.Condition(state.CondUpToDate)
	return ok && c.Reason == CondRolledBack
}
