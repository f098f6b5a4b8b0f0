package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// conditions collects the conditions of one object.
type conditions struct {
	now  time.Time
	was  []state.Condition
	list []state.Condition
	// failing is why no agent stays; nil while one does.
	failing *state.AgentFailure
	// moved: the status of some condition is not what it was, so its time is now.
	moved bool
}

// conditions are those of an object of which none has been judged yet. They are there until
// those of the next one are asked for.
func (r *round) conditions(was *state.Status) *conditions {
	c := &r.made.conditions
	*c = conditions{now: r.in.Now, failing: r.in.AgentFailure, list: c.list[:0]}
	if was != nil {
		c.was = was.Conditions
	}
	return c
}

// before is what a condition was; nil: there was none.
func (c *conditions) before(typ string) *state.Condition {
	if at := len(c.list); at < len(c.was) && c.was[at].Type == typ { // where they were judged in the same order
		return &c.was[at]
	}
	if at := slices.IndexFunc(c.was, func(x state.Condition) bool { return x.Type == typ }); at >= 0 {
		return &c.was[at]
	}
	return nil
}

// asBefore is a list that stays of what was made in one that does not: what there was before,
// where it is equal.
func asBefore[T comparable](was, now []T) []T {
	if len(now) == 0 {
		return nil
	}
	if slices.Equal(was, now) {
		return was
	}
	return slices.Clone(now)
}

// set adds a condition. The time of its last transition stays as long as its
// status does.
func (c *conditions) set(typ, status, reason, message string) {
	if status != state.StatusTrue {
		reason, message = c.because(reason, message)
	}
	at := c.now
	if was := c.before(typ); was != nil && was.Status == status {
		at = was.LastTransitionTime
	} else {
		c.moved = true
	}
	c.list = append(c.list, state.Condition{Type: typ, Status: status, Reason: reason,
		Message: state.Clip(state.HideSecrets(message), state.MaxMessage), LastTransitionTime: at})
}

func (c *conditions) get(typ string) state.Condition {
	for i := range c.list {
		if c.list[i].Type == typ {
			return c.list[i]
		}
	}
	return state.Condition{}
}

func (r *round) registeredCondition(c *conditions, m *model) {
	if !m.server.regs.Known && m.server.infra != nil {
		c.set(state.CondRegistered, state.StatusUnknown, actors.CondEtcdUnreachable, m.server.whyNoEtcd())
		return
	}
	if !r.in.Observed.Synced && r.blind(c, state.CondRegistered) { // whose leases they are is not known
		return
	}
	desired, have := m.counts(func(v *unit) bool { return v.registered && !v.is(leaving) })
	message := r.outOf(have, desired, "worker", "registered in Dynamo's etcd")
	if desired == 0 || have < desired {
		c.set(state.CondRegistered, state.StatusFalse, actors.CondNotRegistered, message)
		return
	}
	c.set(state.CondRegistered, state.StatusTrue, actors.CondOK, message)
}

// routerCondition asks the frontend: it must list the model, and name the wanted
// generation with all its worker types.
func (r *round) routerCondition(c *conditions, m *model) {
	if !m.server.frontend.Known {
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondFrontendDown, m.server.silentFrontend())
		return
	}
	ns, ok := m.frontend.Namespaces[m.namespace]
	gated := m.server.isShut(m.namespace)
	switch {
	case gated && !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "this generation gets requests once every role of it can serve")
	case !m.frontend.Listed || !ok:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "the frontend does not list this generation")
	case !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "the frontend misses "+strings.Join(ns.Missing, ", "))
	default:
		c.set(state.CondRouterReady, state.StatusTrue, actors.CondOK, "")
	}
}

// beingStopped is said of a model that is deleted.
const beingStopped = "its units are being stopped"

// readyCondition is the conjunction; the first condition that fails says why.
func (r *round) readyCondition(c *conditions, m *model) {
	if m.deletion == deleted {
		c.set(state.CondReady, state.StatusFalse, actors.CondDeleting, beingStopped)
		return
	}
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondRegistered, state.CondRouterReady} {
		if x := c.get(typ); x.Status != state.StatusTrue {
			c.set(state.CondReady, x.Status, x.Reason, x.Message)
			return
		}
	}
	if m.fellBack {
		c.set(state.CondReady, state.StatusFalse, actors.CondRolledBack, "the accepted generation does not start; the previous one serves")
		return
	}
	c.set(state.CondReady, state.StatusTrue, actors.CondOK, "")
}

// availableCondition tells whether a request would be served now, by any
// generation: that is the frontend's word alone.
func (r *round) availableCondition(c *conditions, m *model) {
	switch {
	case !m.server.frontend.Known:
		c.set(state.CondAvailable, state.StatusFalse, actors.CondFrontendDown, m.server.silentFrontend())
	case m.frontend.Listed && m.frontend.Ready:
		c.set(state.CondAvailable, state.StatusTrue, actors.CondOK, "")
	default:
		ready := c.get(state.CondReady)
		c.set(state.CondAvailable, state.StatusFalse, cmp.Or(notOK(ready.Reason), actors.CondNotListed), ready.Message)
	}
}

func notOK(reason string) string {
	if reason == actors.CondOK {
		return ""
	}
	return reason
}

func (r *round) upToDateCondition(c *conditions, m *model) {
	reason, message := m.notAsAsked()
	if reason == "" {
		reason, message = m.notRolled()
	}
	if reason == "" {
		c.set(state.CondUpToDate, state.StatusTrue, actors.CondOK, "")
		return
	}
	c.set(state.CondUpToDate, state.StatusFalse, reason, message)
}

// notAsAsked says why what is to run is not what the spec asks for; empty where it is.
func (m *model) notAsAsked() (reason, message string) {
	switch {
	case m.deletion == held && m.server.held > 0:
		return actors.CondDeletionHeld, m.server.heldMessage
	case m.deletion == held:
		return actors.CondDeletionHeld, "it was deleted without dynctl; it stops after the hold unless it is written again"
	case m.SpecMissing && m.Deleted == nil:
		return actors.CondSpecMissing, missingMessage(m.Accepted)
	case m.fellBack, m.giveUp:
		return actors.CondRolledBack, fmt.Sprintf("generation %s does not start%s; generation %s is kept until the spec is edited",
			m.Template.Generation, m.lastExit(), m.Previous.Generation)
	case m.Rejected != nil || m.Accepted != m.Revision:
		return actors.CondOldRevision, fmt.Sprintf("revision %d runs, %d was asked for", m.Accepted, m.Revision)
	}
	return "", ""
}

// notRolled says why what runs is not what is to run; empty where it is.
func (m *model) notRolled() (reason, message string) {
	switch {
	case m.stalled != "":
		return actors.WaitRolloutStalled, m.stalled
	case m.rolling() && m.failing():
		return actors.WaitRolloutStalled, "the new generation does not start" + m.lastExit() + "; the old one keeps serving"
	case m.rolling() && m.deletion != deleted:
		return actors.CondRolling, leftOver(m.oldCount())
	case m.rollEnds():
		desired, have := m.counts(isReady)
		return actors.CondRolling, state.OutOf(have, desired, "replica", "ready in the new generation")
	case m.toRestart() > 0 && m.deletion != deleted:
		desired, _ := m.counts(isReady)
		return actors.CondRestarting, state.OutOf(m.toRestart(), desired, "worker", "still to be executed again") + m.silent()
	case m.Outdated:
		return actors.CondRendererChanged, "this version renders another command for the same spec; `dynctl restart model/" + m.Name + "` adopts it"
	}
	return "", ""
}

// rollEnds reports whether a roll has no old unit left and replicas of the new generation
// are still to come: until they are ready it is not complete.
func (m *model) rollEnds() bool {
	if m.Status == nil || m.Status.Generation != m.inForce.Generation {
		return false
	}
	was, _ := m.Status.Condition(state.CondUpToDate)
	if was.Reason != actors.CondRolling && was.Reason != actors.WaitRolloutStalled {
		return false
	}
	desired, have := m.counts(isReady)
	return have < desired
}

// toRestart is how many workers a restart has yet to execute again.
func (m *model) toRestart() (n int) {
	for _, r := range m.roles {
		n += len(proposeRestart(m, r))
	}
	return n
}

// silent says which worker's actor answers nothing, so that it waits; empty if all do.
func (m *model) silent() string {
	for _, u := range m.units {
		if u.Reason == actors.UnitActorSilent {
			return ": " + u.Message
		}
	}
	return ""
}

func (m *model) lastExit() string {
	for _, v := range m.units {
		for _, a := range v.Actors {
			if ended(&a) != nil && a.Failures > 0 && v.Generation == m.Template.Generation {
				return " (" + exitMessage(&a) + ")"
			}
		}
	}
	return ""
}

// leftOver says how many units of old generations are still there.
func leftOver(units int) string {
	if units == 1 {
		return "1 unit of an old generation is left"
	}
	return fmt.Sprintf("%d units of old generations are left", units)
}
