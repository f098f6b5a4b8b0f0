package actors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// Reasons of conditions, besides those of waits.
const (
	CondOK              = "OK"
	CondWarnings        = "Warnings"
	CondNotAccepted     = "NotAccepted"
	CondPending         = "Pending"
	CondStarting        = "WorkersStarting"
	CondNotRegistered   = "NotRegistered"
	CondEtcdUnreachable = "EtcdUnreachable"
	CondNotListed       = "NotListed"
	CondFrontendDown    = "FrontendUnreachable"
	CondScaledToZero    = "ScaledToZero"
	CondSuspended       = "Suspended"
	CondDeleting        = "Deleting"
	CondDeletionHeld    = "DeletionHeld"
	CondRolling         = "RollingOut"
	CondRendererChanged = "RendererChanged"
	CondOldRevision     = "OldRevision"
	CondRolledBack      = "RolledBack"
	CondInfraStarting   = "InfraStarting"
	CondSpecMissing     = "SpecMissing"
)

// conditions collects the conditions of one object.
type conditions struct {
	now  time.Time
	was  *state.Status
	list []state.Condition
	// failing is why no agent stays; nil while one does.
	failing *state.AgentFailure
}

// set adds a condition. The time of its last transition stays as long as its
// status does.
func (c *conditions) set(typ, status, reason, message string) {
	if status != state.StatusTrue {
		reason, message = c.because(reason, message)
	}
	at := c.now
	if c.was != nil {
		if old, ok := c.was.Condition(typ); ok && old.Status == status {
			at = old.LastTransitionTime
		}
	}
	c.list = append(c.list, state.Condition{Type: typ, Status: status, Reason: reason,
		Message: state.Clip(state.HideSecrets(message), state.MaxMessage), LastTransitionTime: at})
}

func (c *conditions) get(typ string) state.Condition {
	for _, x := range c.list {
		if x.Type == typ {
			return x
		}
	}
	return state.Condition{}
}

// planStatuses writes what is known of every object, whether or not anything may
// be done about it.
func (p *planner) planStatuses() {
	for _, s := range p.servers {
		if !s.Recovering {
			p.serverStatus(s)
		}
	}
	models := slices.Clone(p.models)
	slices.SortFunc(models, func(a, b *modelView) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name))
	})
	for _, m := range models {
		if m.Recovering {
			continue
		}
		p.modelStatus(m)
		p.out.Waits = append(p.out.Waits, m.waits...)
	}
}

func (p *planner) modelStatus(m *modelView) {
	units := m.units()
	if m.gone && p.acting && len(units) == 0 && !p.hiddenOf(m) {
		if m.Status == nil {
			return
		}
		p.out.Gone = append(p.out.Gone, state.ModelKey(m.Server, m.Name))
		p.fact(Fact{Type: FactSpecDeleted, Server: m.Server, Model: m.Name, Revision: m.Revision, Reason: ReasonDeleted,
			Message: "nothing of it is left"})
		return
	}
	st := state.Status{
		Key: state.ModelKey(m.Server, m.Name).String(), Kind: state.KindModel, Server: m.Server, Name: m.Name,
		ObservedRevision: m.Revision, AcceptedRevision: m.Accepted, ObservedIn: m.RevisionIn, AcceptedIn: m.AcceptedIn, Generation: m.template.Generation,
		Roles: map[string]state.RoleStatus{},
	}
	if m.Accepted != 0 {
		router := m.Router
		st.Router = &router
		st.Endpoint = m.server.endpoint()
	}
	if m.Status != nil {
		st.Revision = m.Status.Revision
	}
	if m.Status != nil && !p.in.Observed.Synced { // what runs is not known, which is not nothing
		st.Roles, st.Placements, st.Endpoint = m.Status.Roles, m.Status.Placements, m.Status.Endpoint
		p.finishModelStatus(m, st)
		return
	}
	for _, r := range m.roles {
		st.Roles[RoleName(r.Role)] = p.roleStatus(m, r)
	}
	for _, v := range units {
		st.Placements = append(st.Placements, placement(v.Unit, v.ready() || v.running && m.unheard() && wasReady(m.Status, v.Unit.Unit)))
	}
	p.finishModelStatus(m, st)
}

// finishModelStatus judges the conditions and tells what changed.
func (p *planner) finishModelStatus(m *modelView, st state.Status) {
	c := &conditions{now: p.in.Now, failing: p.in.AgentFailure, was: m.Status}
	p.acceptedCondition(c, m.Rejected, m.Accepted, m.Warnings)
	if m.SpecMissing {
		p.missingCondition(c, m.Accepted)
	}
	p.modelConditions(c, m)
	st.Conditions = c.list
	if m.held && m.server.held > 0 {
		st.DeletionBlocked = m.Deleted.Revision
	}
	p.modelFacts(m, &st)
	p.out.Statuses = append(p.out.Statuses, st)
}

// RoleName is the name of a role in a status: "aggregated" where a worker has none.
func RoleName(role string) string {
	if role == state.RoleAggregated {
		return state.ModeAggregated
	}
	return role
}

// unheard says that it cannot be told whether a unit is registered or listed.
func (m *modelView) unheard() bool { return !m.server.regs.Known || !m.server.frontend.Known }

func wasReady(was *state.Status, unit string) bool {
	return was != nil && slices.ContainsFunc(was.Placements, func(x state.PlacementStatus) bool {
		return x.Unit == unit && x.State == placementReady
	})
}

// placementReady is the state of a unit that serves.
const placementReady = "Ready"

func placement(u state.Unit, ready bool) state.PlacementStatus {
	s := state.PlacementStatus{Unit: u.Unit, Generation: u.Generation, State: string(u.State), PlacementGroup: u.PlacementGroup.Name}
	if ready {
		s.State = placementReady
	}
	for _, a := range u.Actors {
		if a.Bundle == 0 && s.Node == "" {
			s.Node = a.Node
		}
	}
	return s
}

func (p *planner) roleStatus(m *modelView, r *roleView) state.RoleStatus {
	out := state.RoleStatus{Desired: r.desired}
	if m.Spec.Suspend || m.gone {
		out.Desired = 0
	}
	for _, v := range slices.Concat(r.fresh, r.old) {
		if v.running && !v.stopping {
			out.Running++
		}
		if v.ready() {
			out.Ready++
		}
		if v.Generation == m.template.Generation && !v.stopping {
			out.Updated++
		}
		for _, a := range v.Actors {
			out.Restarts += max(a.Attempt-1, 0)
			if e := ended(a); e != nil && (out.LastExit == nil || e.At.After(out.LastExit.At)) {
				out.LastExit = &state.ExitStatus{Unit: v.Unit.Unit, Code: e.Code, Reason: e.Reason, Cause: e.Cause, Hint: e.Hint, LogTail: tail(e.LogTail), At: e.At}
			}
		}
	}
	for _, w := range m.waits {
		if !w.Until.IsZero() && (out.BackoffUntil == nil || w.Until.Before(*out.BackoffUntil)) && r.has(w.Key) {
			until := w.Until
			out.BackoffUntil = &until
		}
	}
	return out
}

func (r *roleView) has(k state.UnitKey) bool {
	return slices.ContainsFunc(slices.Concat(r.fresh, r.old), func(v unitView) bool { return v.Key() == k })
}

// maxLogTail bounds what a status carries of a log.
const maxLogTail = 8 << 10

func tail(s string) string {
	if len(s) <= maxLogTail {
		return s
	}
	return strings.ToValidUTF8(s[len(s)-maxLogTail:], "")
}

// acceptedCondition says whether the last revision is the accepted one, and if so
// what of it has no effect.
func (p *planner) acceptedCondition(c *conditions, rejected *Rejection, accepted uint64, warnings []state.Warning) {
	switch {
	case rejected == nil && len(warnings) > 0:
		c.set(state.CondAccepted, state.StatusTrue, CondWarnings, state.WarningsText(warnings))
	case rejected == nil:
		c.set(state.CondAccepted, state.StatusTrue, CondOK, "")
	case accepted == 0:
		c.set(state.CondAccepted, state.StatusFalse, rejected.Reason, rejected.Message)
	default:
		c.set(state.CondAccepted, state.StatusFalse, rejected.Reason, fmt.Sprintf("%s; revision %d keeps running", rejected.Message, accepted))
	}
}

// missingCondition says of an accepted revision that the spec bucket has lost it.
func (p *planner) missingCondition(c *conditions, accepted uint64) {
	c.list = slices.DeleteFunc(c.list, func(x state.Condition) bool { return x.Type == state.CondAccepted })
	c.set(state.CondAccepted, state.StatusTrue, CondSpecMissing, missingMessage(accepted))
}

func missingMessage(accepted uint64) string {
	return fmt.Sprintf("revision %d runs as it was accepted, and the spec bucket does not hold it any more: write the spec again, or delete it with dynctl", accepted)
}

// modelConditions judges, in the order in which a model comes to life.
func (p *planner) modelConditions(c *conditions, m *modelView) {
	p.scheduledCondition(c, m)
	p.workersConditions(c, m)
	p.registeredCondition(c, m)
	p.routerCondition(c, m)
	p.readyCondition(c, m)
	p.availableCondition(c, m)
	p.upToDateCondition(c, m)
	if m.Spec.Suspend && m.Accepted != 0 {
		c.set(state.CondSuspended, state.StatusTrue, CondSuspended, "`dynctl resume model/"+m.Name+"` starts it again")
	} else {
		c.set(state.CondSuspended, state.StatusFalse, CondOK, "")
	}
}

// blind sets an Unknown condition when what it rests on is not known.
func (p *planner) blind(c *conditions, typ string) bool {
	switch {
	case p.in.Observed.Agent == nil:
		c.set(typ, state.StatusUnknown, WaitNoAgent, "no agent runs in Ray yet; see the reconciler's log and /readyz")
	case agentLost(p.in):
		c.set(typ, state.StatusUnknown, WaitAgentLost, "the agent in Ray is silent; nothing is stopped meanwhile")
	case !p.in.Observed.Synced:
		c.set(typ, state.StatusUnknown, WaitNoAgent, "the agent has not yet told all that runs")
	default:
		return false
	}
	return true
}

func (p *planner) scheduledCondition(c *conditions, m *modelView) {
	if p.blind(c, state.CondScheduled) {
		return
	}
	if m.Accepted == 0 {
		c.set(state.CondScheduled, state.StatusFalse, CondNotAccepted, "no revision was ever accepted")
		return
	}
	for _, w := range m.waits {
		switch w.Reason {
		case WaitBackOff, WaitPortConflict, WaitRestarting:
		default:
			c.set(state.CondScheduled, state.StatusFalse, w.Reason, w.Message)
			return
		}
	}
	desired, placed := m.counts(func(v unitView) bool { return v.PlacementGroup.State == "CREATED" && !v.stopping })
	if placed < desired {
		c.set(state.CondScheduled, state.StatusFalse, CondPending, fmt.Sprintf("%d of %d placement groups are ready", placed, desired))
		return
	}
	c.set(state.CondScheduled, state.StatusTrue, CondOK, "")
}

// counts sums over the roles what is wanted and what of the wanted generation
// answers a question.
func (m *modelView) counts(ok func(unitView) bool) (desired, have int) {
	if m.Spec.Suspend || m.gone {
		return 0, 0
	}
	for _, r := range m.roles {
		desired += r.desired
		have += min(countIf(r.fresh, ok), r.desired)
	}
	return desired, have
}

func (p *planner) workersConditions(c *conditions, m *modelView) {
	if p.blind(c, state.CondWorkersReady) {
		return
	}
	running := func(v unitView) bool { return v.running && !v.stopping }
	desired, have := m.counts(running)
	reason, message := p.whyNotRunning(m)
	set := func(typ string, have, desired int) {
		switch {
		case m.Accepted == 0:
			c.set(typ, state.StatusFalse, CondNotAccepted, "no revision was ever accepted")
		case m.Spec.Suspend:
			c.set(typ, state.StatusFalse, CondSuspended, "spec.suspend is true")
		case desired == 0:
			c.set(typ, state.StatusFalse, CondScaledToZero, "the spec asks for no replica")
		case have < desired:
			c.set(typ, state.StatusFalse, reason, fmt.Sprintf("%d of %d workers are healthy%s", have, desired, message))
		default:
			c.set(typ, state.StatusTrue, CondOK, fmt.Sprintf("%d of %d workers are healthy", have, desired))
		}
	}
	set(state.CondWorkersReady, have, desired)
	for _, r := range m.roles {
		switch r.Role {
		case state.RolePrefill:
			set(state.CondPrefillReady, min(countIf(r.fresh, running), r.desired), r.desired)
		case state.RoleDecode:
			set(state.CondDecodeReady, min(countIf(r.fresh, running), r.desired), r.desired)
		}
	}
}

// whyNotRunning names the first thing that keeps a worker from being healthy.
func (p *planner) whyNotRunning(m *modelView) (reason, message string) {
	if busy := p.busyCard(m); busy != "" {
		return WaitGPUBusy, ": " + busy
	}
	for _, w := range m.waits {
		return w.Reason, ": " + w.Message
	}
	for _, v := range m.units() {
		for _, a := range v.Actors {
			switch {
			case v.Generation != m.template.Generation || v.running || a.Failures == 0:
			case a.Exit != nil:
				return WaitRestarting, ": " + exitMessage(a)
			case a.LastExit != nil:
				return CondStarting, fmt.Sprintf(": attempt %d starts after %s", a.Attempt, exitMessage(a))
			}
		}
		if v.Unit.State == state.UnitWaiting {
			return CondInfraStarting, ": waiting for etcd and NATS"
		}
	}
	return CondStarting, ""
}
