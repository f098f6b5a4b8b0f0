package plan

import (
	"fmt"

	"dynctl/actors"
	"dynctl/state"
)

// deletionDue reports whether a delete is to be acted on: dynctl said so, or nobody wrote
// the object again within the hold.
func (r *round) deletionDue(d *actors.Deletion) bool {
	if d == nil {
		return false
	}
	return d.Now || d.Confirmed || !r.in.Now.Before(d.At.Add(r.in.Policy.DeleteHold))
}

// judgeDeletions says which models of a server are deleted or held. A delete that dynctl
// did not make is held; when more than half of the models, and more than one, are deleted
// within the hold of each other, nothing is stopped until somebody confirms it. The rules,
// first match wins for each deleted model:
//
//  1. dynctl deleted it, or somebody confirmed, or it was acted on and its units drain
//     already: deleted
//  2. nothing of it was ever accepted: deleted after the hold
//  3. the guard held it: held, whoever was written again meanwhile
//  4. it is one of those that raise the guard: held
//  5. its hold is over: deleted
//  6. otherwise it is held; while the guard is up, until that is answered
func (r *round) judgeDeletions(s *server) {
	var open []*model                     // not decided by rules 1 and 2
	known := len(s.models) - len(s.awake) // what rests is accepted, and not deleted
	for _, m := range s.awake {
		switch {
		case m.Deleted == nil:
		case m.DeletedForGood(), m.Accepted == 0 && r.deletionDue(m.Deleted): // rules 1 and 2
			m.deletion = deleted
		case m.Accepted != 0:
			open = append(open, m)
		}
		if m.Accepted != 0 && m.deletion != deleted {
			known++
		}
	}
	var undecided []*model
	for _, m := range open {
		if !guarded(m) && !r.deletedTogether(open, m, known) { // otherwise rules 3 and 4
			undecided = append(undecided, m)
			continue
		}
		m.deletion = held
		s.held++
	}
	for _, m := range undecided {
		switch {
		case r.deletionDue(m.Deleted): // rule 5
			m.deletion = deleted
		case s.held > 0: // rule 6
			m.deletion = held
			s.held++
		default: // rule 6
			m.deletion = held
			r.checkAt(m.Deleted.At.Add(r.in.Policy.DeleteHold))
		}
	}
	if s.held > 0 {
		s.heldMessage = fmt.Sprintf("%d of %d models are held, because most were deleted at once; nothing stops until `dynctl confirm-deletions %s`, or write them again",
			s.held, known, s.Name)
	}
}

// guarded reports whether the mass-deletion guard held this very delete. The status
// remembers it, so that neither time nor a restart lowers the guard.
func guarded(m *model) bool {
	return m.Status != nil && m.Status.DeletionBlocked == m.Deleted.Revision && state.SameBucket(m.Status.ObservedIn, m.RevisionIn)
}

// deletedTogether reports whether some span of the length of the hold that contains the
// delete of a model holds those of more than half of the known models, and of more than
// one.
func (r *round) deletedTogether(open []*model, m *model, known int) bool {
	at := m.Deleted.At
	for _, first := range open {
		begin := first.Deleted.At
		end := begin.Add(r.in.Policy.DeleteHold)
		if at.Before(begin) || at.After(end) {
			continue
		}
		n := 0
		for _, o := range open {
			if !o.Deleted.At.Before(begin) && !o.Deleted.At.After(end) {
				n++
			}
		}
		if n > 1 && 2*n > known {
			return true
		}
	}
	return false
}
