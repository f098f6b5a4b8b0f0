package actors

import (
	"fmt"
)

// deletionDue says that a delete is to be acted on: dynctl said so, or nobody
// wrote the object again within the hold.
func (p *planner) deletionDue(d *Deletion) bool {
	if d == nil {
		return false
	}
	return d.Now || d.Confirmed || !p.in.Now.Before(d.At.Add(p.in.Policy.DeleteHold))
}

// decideDeletions marks the models of a server that are gone or held. A delete
// that dynctl did not make is held; when more than half of the models, and more
// than one, are deleted so, nothing is stopped until somebody confirms it.
func (p *planner) decideDeletions(s *serverView) {
	var held []*modelView
	known := 0
	for _, m := range s.models {
		if m.Accepted != 0 {
			known++
		}
		switch {
		case m.Deleted == nil:
		case m.Deleted.Now || m.Deleted.Confirmed:
			m.gone = true
		case m.Accepted == 0:
			m.gone = p.deletionDue(m.Deleted)
		default:
			m.held = true
			held = append(held, m)
		}
	}
	if len(held) > 1 && 2*len(held) > known {
		s.held = len(held)
		s.heldMessage = fmt.Sprintf("%d of %d models were deleted at once; nothing stops until `dynctl confirm-deletions %s`, or write them again", len(held), known, s.Name)
		return
	}
	for _, m := range held {
		if p.deletionDue(m.Deleted) {
			m.gone, m.held = true, false
		} else {
			p.checkAt(m.Deleted.At.Add(p.in.Policy.DeleteHold))
		}
	}
}
