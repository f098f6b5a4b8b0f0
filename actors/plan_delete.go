package actors

import (
	"fmt"
	"time"

	"dynctl/state"
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
// than one, are deleted within the hold of each other, nothing is stopped until
// somebody confirms it. The rules, first match wins for each deleted model:
//
//  1. dynctl deleted it, or somebody confirmed: gone
//  2. nothing of it was ever accepted: gone after the hold
//  3. it was acted on: gone, for its units drain already
//  4. the guard held it: held, whoever was written again meanwhile
//  5. it is one of those that raise the guard: held
//  6. its hold is over: gone
//  7. otherwise it is held; while the guard is up, until that is answered
func (p *planner) decideDeletions(s *serverView) {
	var open []*modelView // not decided by rules 1 to 3
	known := 0
	for _, m := range s.models {
		switch {
		case m.Deleted == nil:
		case leaving(m.DesiredModel):
			m.gone = true
		case m.Accepted == 0:
			m.gone = p.deletionDue(m.Deleted)
		default:
			open = append(open, m)
		}
		if m.Accepted != 0 && !m.gone {
			known++
		}
	}
	var undecided []*modelView
	for _, m := range open {
		if guarded(m) || p.deletedWith(open, m.Deleted.At, known) {
			m.held = true
			s.held++
		} else {
			undecided = append(undecided, m)
		}
	}
	for _, m := range undecided {
		switch {
		case p.deletionDue(m.Deleted):
			m.gone = true
		case s.held > 0:
			m.held = true
			s.held++
		default:
			m.held = true
			p.checkAt(m.Deleted.At.Add(p.in.Policy.DeleteHold))
		}
	}
	if s.held > 0 {
		s.heldMessage = fmt.Sprintf("%d of %d models are held, because most were deleted at once; nothing stops until `dynctl confirm-deletions %s`, or write them again",
			s.held, known, s.Name)
	}
}

// leaving says that a model is deleted for sure: dynctl said so, somebody
// confirmed, or the last status speaks of a delete that was carried out.
func leaving(m DesiredModel) bool {
	if m.Deleted == nil {
		return false
	}
	return m.Deleted.Now || m.Deleted.Confirmed ||
		m.Status != nil && m.Status.ObservedRevision == m.Deleted.Revision && state.SameBucket(m.Status.ObservedIn, m.RevisionIn) && wasReason(m.Status, state.CondReady, CondDeleting)
}

// guarded says that the mass-deletion guard held this very delete. The status
// remembers it, so that neither time nor a restart lowers the guard.
func guarded(m *modelView) bool {
	return m.Status != nil && m.Status.DeletionBlocked == m.Deleted.Revision && state.SameBucket(m.Status.ObservedIn, m.RevisionIn)
}

// deletedWith says that some span of the length of the hold that contains a moment
// holds the deletes of more than half of the known models, and more than one.
func (p *planner) deletedWith(open []*modelView, at time.Time, known int) bool {
	for _, first := range open {
		begin := first.Deleted.At
		end := begin.Add(p.in.Policy.DeleteHold)
		if at.Before(begin) || at.After(end) {
			continue
		}
		n := 0
		for _, m := range open {
			if !m.Deleted.At.Before(begin) && !m.Deleted.At.After(end) {
				n++
			}
		}
		if n > 1 && 2*n > known {
			return true
		}
	}
	return false
}
