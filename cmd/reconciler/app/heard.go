package app

import (
	"maps"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// hearFor is how long a reconciler that has begun waits for the first word of the etcd and the
// frontend of each server before it says that they have not answered: a frontend of thousands
// of models is asked for one after the other.
const hearFor = 10 * time.Second

// heard are the servers of which etcd and frontend have said something since this reconciler
// began, or have failed to.
type heard struct {
	late time.Time // when no more is waited for
	all  map[string]bool
	led  time.Time // since when this reconciler leads; zero: it never did
}

// awaitsAgent reports whether the silence of the agent may be that of the store: while nobody
// led, its heartbeats reached nobody, and the next one is on its way. Nothing is decided by
// what it said before; but neither is it told as lost before it has had the time to speak.
func (h *heard) awaitsAgent(in actors.Input) bool {
	a, patience := in.Observed.Agent, in.Policy.AgentTimeout
	return a != nil && a.Synced && in.Now.Sub(a.At) > patience && in.Now.Sub(h.led) <= patience
}

// listen takes note of who has said something by now.
func (h *heard) listen(in actors.Input) {
	if h.late.IsZero() {
		h.all, h.late = map[string]bool{}, in.Now.Add(hearFor)
	}
	for _, s := range in.Desired.Servers {
		regs, frontend := in.Registered[s.Name], in.Frontends[s.Name]
		silent := !regs.Known && (regs.Err == "" || regs.Pending) || !frontend.Known && (frontend.Err == "" || frontend.Pending)
		h.all[s.Name] = h.all[s.Name] || !silent || !in.Now.Before(h.late)
	}
}

// waits reports whether a status says otherwise than the one that stands only that etcd or
// frontend have not been heard yet: a reconciler that has begun a moment ago knows no better than
// the one before it, and to take all that was said back for a moment would be wrong, and cost two
// writes for each model.
func (h *heard) waits(stands, planned state.Status) bool {
	return !h.all[planned.Server] && !sameStatus(stands, planned) && equalStatus(besideAnswers(stands), besideAnswers(planned))
}

// waitsForAgent reports whether a status says otherwise than the one that stands only that the
// agent is silent, and that may be over in a moment.
func (h *heard) waitsForAgent(in actors.Input, stands, planned state.Status) bool {
	if !h.awaitsAgent(in) || sameStatus(stands, planned) {
		return false
	}
	unknown := map[string]bool{}
	for _, c := range planned.Conditions {
		unknown[c.Type] = c.Reason == actors.WaitAgentLost
	}
	silent := func(c state.Condition) bool { return unknown[c.Type] }
	stands.Conditions = slices.DeleteFunc(slices.Clone(stands.Conditions), silent)
	planned.Conditions = slices.DeleteFunc(slices.Clone(planned.Conditions), silent)
	stands.Roles, planned.Roles = countsWithout(stands.Roles, anyAge), countsWithout(planned.Roles, anyAge)
	return equalStatus(stands, planned)
}

// besideAnswers is a status without what rests on the word of etcd and frontend, and without
// what was rendered: of the same revision and generation that differs in notes alone, as that
// the generation was Ready once, which is found in the status that stands.
func besideAnswers(s state.Status) state.Status {
	s.Template = nil
	s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c state.Condition) bool {
		return c.Type == state.CondRegistered || c.Type == state.CondRouterReady || c.Type == state.CondReady || c.Type == state.CondAvailable
	})
	s.Roles = countsWithout(s.Roles, func(r *state.RoleStatus) { r.Ready, r.LastKnown = 0, false })
	return s
}

// anyAge takes no notice of whether counts are those of now.
func anyAge(r *state.RoleStatus) { r.LastKnown = false }

// countsWithout are counts without what is left out of each.
func countsWithout(roles map[string]state.RoleStatus, without func(*state.RoleStatus)) map[string]state.RoleStatus {
	roles = maps.Clone(roles)
	for role, r := range roles {
		without(&r)
		roles[role] = r
	}
	return roles
}
