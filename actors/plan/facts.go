package plan

import (
	"fmt"

	"dynctl/actors"
	"dynctl/state"
)

func (r *round) fact(f actors.Fact) {
	f.Message = state.Clip(state.HideSecrets(f.Message), state.MaxMessage)
	r.out.Facts = append(r.out.Facts, f)
}

// modelFacts tells the stream what changed since the last status: facts are
// derived from two states, so a restart neither loses nor repeats them.
func (r *round) modelFacts(m *model, st *state.Status) {
	was := m.Status
	base := actors.Fact{Server: m.Server, Model: m.Name, Generation: st.Generation, Revision: m.Accepted}
	r.specFacts(base, was, st, m.Rejected)
	for _, x := range st.Placements {
		if x.State == placementReady && !wasReady(was, x.Unit) {
			f := base
			f.Type, f.Unit, f.Generation, f.Reason = actors.FactUnitReady, x.Unit, x.Generation, actors.CondOK
			f.Message = "registered, and listed by the frontend"
			r.fact(f)
		}
	}
	r.backoffFacts(m, base)
	r.modelRouting(m, st)
	r.rolloutFacts(m, st, base)
	if st.DeletionBlocked != 0 && (was == nil || was.DeletionBlocked == 0) {
		f := base
		f.Type, f.Reason, f.Message = actors.FactDeletionBlocked, actors.CondDeletionHeld, m.server.heldMessage
		r.fact(f)
	}
}

// specFacts tells of a revision that was accepted or rejected.
func (r *round) specFacts(base actors.Fact, was, st *state.Status, rejected *actors.Rejection) {
	f := base
	switch {
	case rejected != nil:
		f.Type, f.Revision, f.Reason, f.Message = actors.FactSpecRejected, st.ObservedRevision, rejected.Reason, rejected.Message
		if was != nil && was.ObservedRevision == st.ObservedRevision && state.SameBucket(was.ObservedIn, st.ObservedIn) && wasReason(was, state.CondAccepted, rejected.Reason) {
			return
		}
	case st.AcceptedRevision != 0 && (was == nil || was.AcceptedRevision != st.AcceptedRevision || !state.SameBucket(was.AcceptedIn, st.AcceptedIn)):
		f.Type, f.Reason, f.Message = actors.FactSpecAccepted, actors.CondOK, fmt.Sprintf("revision %d", st.AcceptedRevision)
	default:
		return
	}
	r.fact(f)
}

func wasReason(was *state.Status, typ, reason string) bool {
	if was == nil {
		return false
	}
	c, ok := was.Condition(typ)
	return ok && c.Reason == reason
}

// backoffFacts tells of each wait for a next attempt. They stay the same for as
// long as the wait lasts, and are to be told once.
func (r *round) backoffFacts(m *model, base actors.Fact) {
	for _, w := range m.waits {
		if w.Until.IsZero() {
			continue
		}
		f := base
		f.Type, f.Unit, f.Reason = actors.FactUnitBackoff, w.Key.Unit, w.Reason
		f.Message = fmt.Sprintf("%s; next attempt at %s", w.Message, w.Until.UTC().Format("15:04:05.000"))
		r.fact(f)
	}
}

// rolloutFacts follows the condition UpToDate from one reason to another.
func (r *round) rolloutFacts(m *model, st *state.Status, base actors.Fact) {
	now, _ := st.Condition(state.CondUpToDate)
	var before state.Condition
	if m.Status != nil {
		before, _ = m.Status.Condition(state.CondUpToDate)
	}
	wasRolling := before.Reason == actors.CondRolling || before.Reason == actors.WaitRolloutStalled
	f := base
	f.Reason, f.Message = now.Reason, now.Message
	if wasRolling && m.Status.Generation != st.Generation {
		s := base
		s.Type, s.Generation, s.Reason = actors.FactRolloutSuperseded, m.Status.Generation, actors.ReasonSuperseded
		s.Message = "generation " + st.Generation + " is wanted now"
		r.fact(s)
		wasRolling = false
	}
	switch {
	case now.Reason == actors.CondRolling && !wasRolling:
		f.Type = actors.FactRolloutStarted
	case (now.Reason == actors.WaitRolloutStalled || now.Reason == actors.CondRolledBack) && before.Reason != now.Reason:
		f.Type = actors.FactRolloutStalled
	case (now.Status == state.StatusTrue || now.Reason == actors.CondRestarting) && wasRolling:
		f.Type, f.Message = actors.FactRolloutCompleted, "every unit is of generation "+st.Generation
	default:
		return
	}
	r.fact(f)
}

// serverFacts tells of revisions, of routing and of a delete that waits.
func (r *round) serverFacts(s *server, st *state.Status) {
	r.specFacts(actors.Fact{Server: s.Name, Generation: st.Generation, Revision: s.Accepted}, s.Status, st, s.Rejected)
	r.serverRouting(s, st)
	if s.Deleted != nil && len(s.models) > 0 && !wasReason(s.Status, state.CondUpToDate, actors.CondDeletionHeld) {
		c, _ := st.Condition(state.CondUpToDate)
		r.fact(actors.Fact{Type: actors.FactDeletionBlocked, Server: s.Name, Revision: s.Revision, Reason: actors.CondDeletionHeld, Message: c.Message})
	}
}
