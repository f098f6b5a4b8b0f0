package actors

import (
	"fmt"

	"dynctl/state"
)

func (p *planner) fact(f Fact) {
	f.Message = state.Clip(state.HideSecrets(f.Message), state.MaxMessage)
	p.out.Facts = append(p.out.Facts, f)
}

// modelFacts tells the stream what changed since the last status: facts are
// derived from two states, so a restart neither loses nor repeats them.
func (p *planner) modelFacts(m *modelView, st *state.Status) {
	was := m.Status
	base := Fact{Server: m.Server, Model: m.Name, Generation: st.Generation, Revision: m.Accepted}
	p.specFacts(base, was, st, m.Rejected)
	for _, x := range st.Placements {
		if x.State == placementReady && !wasReady(was, x.Unit) {
			f := base
			f.Type, f.Unit, f.Generation, f.Reason = FactUnitReady, x.Unit, x.Generation, CondOK
			f.Message = "registered, and listed by the frontend"
			p.fact(f)
		}
	}
	p.backoffFacts(m, base)
	p.modelRouting(m, st)
	p.rolloutFacts(m, st, base)
	if st.DeletionBlocked != 0 && (was == nil || was.DeletionBlocked == 0) {
		f := base
		f.Type, f.Reason, f.Message = FactDeletionBlocked, CondDeletionHeld, m.server.heldMessage
		p.fact(f)
	}
}

// specFacts tells of a revision that was accepted or rejected.
func (p *planner) specFacts(base Fact, was, st *state.Status, rejected *Rejection) {
	f := base
	switch {
	case rejected != nil:
		f.Type, f.Revision, f.Reason, f.Message = FactSpecRejected, st.ObservedRevision, rejected.Reason, rejected.Message
		if was != nil && was.ObservedRevision == st.ObservedRevision && state.SameBucket(was.ObservedIn, st.ObservedIn) && wasReason(was, state.CondAccepted, rejected.Reason) {
			return
		}
	case st.AcceptedRevision != 0 && (was == nil || was.AcceptedRevision != st.AcceptedRevision || !state.SameBucket(was.AcceptedIn, st.AcceptedIn)):
		f.Type, f.Reason, f.Message = FactSpecAccepted, CondOK, fmt.Sprintf("revision %d", st.AcceptedRevision)
	default:
		return
	}
	p.fact(f)
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
func (p *planner) backoffFacts(m *modelView, base Fact) {
	for _, w := range m.waits {
		if w.Until.IsZero() {
			continue
		}
		f := base
		f.Type, f.Unit, f.Reason = FactUnitBackoff, w.Key.Unit, w.Reason
		f.Message = fmt.Sprintf("%s; next attempt at %s", w.Message, w.Until.UTC().Format("15:04:05.000"))
		p.fact(f)
	}
}

// rolloutFacts follows the condition UpToDate from one reason to another.
func (p *planner) rolloutFacts(m *modelView, st *state.Status, base Fact) {
	now, _ := st.Condition(state.CondUpToDate)
	var before state.Condition
	if m.Status != nil {
		before, _ = m.Status.Condition(state.CondUpToDate)
	}
	wasRolling := before.Reason == CondRolling || before.Reason == WaitRolloutStalled
	f := base
	f.Reason, f.Message = now.Reason, now.Message
	if wasRolling && m.Status.Generation != st.Generation {
		s := base
		s.Type, s.Generation, s.Reason = FactRolloutSuperseded, m.Status.Generation, ReasonSuperseded
		s.Message = "generation " + st.Generation + " is wanted now"
		p.fact(s)
		wasRolling = false
	}
	switch {
	case now.Reason == CondRolling && !wasRolling:
		f.Type = FactRolloutStarted
	case (now.Reason == WaitRolloutStalled || now.Reason == CondRolledBack) && before.Reason != now.Reason:
		f.Type = FactRolloutStalled
	case now.Status == state.StatusTrue && wasRolling:
		f.Type, f.Message = FactRolloutCompleted, "every unit is of generation "+st.Generation
	default:
		return
	}
	p.fact(f)
}

// serverFacts tells of revisions, of routing and of a delete that waits.
func (p *planner) serverFacts(s *serverView, st *state.Status) {
	p.specFacts(Fact{Server: s.Name, Generation: st.Generation, Revision: s.Accepted}, s.Status, st, s.Rejected)
	p.serverRouting(s, st)
	if s.Deleted != nil && len(s.models) > 0 && !wasReason(s.Status, state.CondUpToDate, CondDeletionHeld) {
		c, _ := st.Condition(state.CondUpToDate)
		p.fact(Fact{Type: FactDeletionBlocked, Server: s.Name, Revision: s.Revision, Reason: CondDeletionHeld, Message: c.Message})
	}
}
