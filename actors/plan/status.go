package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// planStatuses writes what is known of every object, whether or not anything may
// be done about it.
func (r *round) planStatuses() {
	r.out.Statuses = make([]*state.Status, 0, len(r.servers)+len(r.seats))
	for _, s := range r.servers {
		if !s.Recovering {
			r.serverStatus(s)
		}
	}
	if !r.sorted {
		slices.SortStableFunc(r.seats, func(a, b seat) int { return a.desired.Compare(b.desired) })
	}
	for i := range r.seats {
		x := &r.seats[i]
		m := x.model
		switch {
		case x.status != nil:
			r.out.Statuses = append(r.out.Statuses, x.status)
			continue
		case m.Recovering:
			continue
		}
		facts := len(r.out.Facts)
		if st, lasts := r.modelStatus(m); st != nil {
			r.out.Statuses = append(r.out.Statuses, st)
			if lasts && len(r.out.Facts) == facts && r.rests(m) {
				r.settle(m, st)
				*x = seated(m, x.desired)
			}
		}
		r.out.Waits = append(r.out.Waits, m.waits...)
	}
}

// placementReady is the state of a unit that serves.
const placementReady = "Ready"

func placement(u *state.Unit, ready bool) state.PlacementStatus {
	s := state.PlacementStatus{Unit: u.Unit, Generation: u.Generation, State: string(u.State), PlacementGroup: u.PlacementGroup.Name}
	if ready {
		s.State = placementReady
	}
	for i := range u.Actors {
		if a := &u.Actors[i]; a.Bundle == 0 && s.Node == "" {
			s.Node = a.Node
		}
	}
	return s
}

func roleStatus(m *model, r *role) state.RoleStatus {
	out := state.RoleStatus{Desired: r.count}
	if m.Spec.Suspend || m.deletion == deleted {
		out.Desired = 0
	}
	for _, u := range r.fresh {
		countUnit(&out, m, u)
	}
	for _, u := range r.old {
		countUnit(&out, m, u)
	}
	for _, w := range m.waits {
		if !w.Until.IsZero() && (out.BackoffUntil == nil || w.Until.Before(*out.BackoffUntil)) && r.has(w.Key) {
			until := w.Until
			out.BackoffUntil = &until
		}
	}
	return out
}

func countUnit(out *state.RoleStatus, m *model, u *unit) {
	if u.running() {
		out.Running++
	}
	if m.countsAsReady(u) {
		out.Ready++
	}
	if u.standing != old && u.stays() {
		out.Updated++
	}
	for i := range u.Actors {
		out.Restarts += max(u.Actors[i].Attempt-1, 0)
		noteExit(out, u, &u.Actors[i])
	}
}

// noteExit keeps the last exit of a role.
func noteExit(out *state.RoleStatus, u *unit, a *state.Actor) {
	if e := ended(a); e != nil && (out.LastExit == nil || e.At.After(out.LastExit.At)) {
		out.LastExit = &state.ExitStatus{Unit: u.Unit.Unit, Code: e.Code, Reason: e.Reason, Cause: e.Cause, Hint: e.Hint, LogTail: tail(e.LogTail), At: e.At}
	}
}

func (r *role) has(k state.UnitKey) bool {
	return slices.ContainsFunc(slices.Concat(r.fresh, r.old), func(v *unit) bool { return v.Key() == k })
}

// maxLogTail bounds what a status carries of a log.
const maxLogTail = 8 << 10

func tail(s string) string {
	if len(s) <= maxLogTail {
		return s
	}
	return strings.ToValidUTF8(s[len(s)-maxLogTail:], "")
}

// accepted reports whether the last revision is the accepted one, and if so what of it has
// no effect, or that the spec bucket has lost it.
func (c *conditions) accepted(rejected *actors.Rejection, revision uint64, warnings []state.Warning, missing bool) {
	switch {
	case missing:
		c.set(state.CondAccepted, state.StatusTrue, actors.CondSpecMissing, missingMessage(revision))
	case rejected == nil && len(warnings) > 0:
		c.set(state.CondAccepted, state.StatusTrue, actors.CondWarnings, state.WarningsText(warnings))
	case rejected == nil:
		c.set(state.CondAccepted, state.StatusTrue, actors.CondOK, "")
	case revision == 0:
		c.set(state.CondAccepted, state.StatusFalse, rejected.Reason, rejected.Message)
	default:
		c.set(state.CondAccepted, state.StatusFalse, rejected.Reason, fmt.Sprintf("%s; revision %d keeps running", rejected.Message, revision))
	}
}

func missingMessage(accepted uint64) string {
	return fmt.Sprintf("revision %d runs as it was accepted, and the spec bucket does not hold it any more: write the spec again, or delete it with dynctl", accepted)
}

// modelConditions judges, in the order in which a model comes to life.
func (r *round) modelConditions(c *conditions, m *model) {
	r.scheduledCondition(c, m)
	r.workersConditions(c, m)
	r.registeredCondition(c, m)
	r.routerCondition(c, m)
	r.readyCondition(c, m)
	r.availableCondition(c, m)
	r.upToDateCondition(c, m)
	if m.Spec.Suspend && m.Accepted != 0 {
		c.set(state.CondSuspended, state.StatusTrue, actors.CondSuspended, "`dynctl resume model/"+m.Name+"` starts it again")
	} else {
		c.set(state.CondSuspended, state.StatusFalse, actors.CondOK, "")
	}
}

// blind sets an Unknown condition when what it rests on is not known.
func (r *round) blind(c *conditions, typ string) bool {
	switch {
	case r.in.Observed.Agent == nil:
		c.set(typ, state.StatusUnknown, actors.WaitNoAgent, "no agent runs in Ray yet; see the reconciler's log and /readyz")
	case agentLost(r.in):
		c.set(typ, state.StatusUnknown, actors.WaitAgentLost, "the agent in Ray is silent; nothing is stopped meanwhile")
	case !r.in.Observed.Synced:
		c.set(typ, state.StatusUnknown, actors.WaitNoAgent, "the agent has not yet told all that runs")
	default:
		return false
	}
	return true
}

// outOf is [state.OutOf], of which most models say the same.
func (r *round) outOf(n, of int, noun, are string) string {
	x := outOf{n, of, noun, are}
	text, known := r.made.texts[x]
	if !known {
		text = state.OutOf(n, of, noun, are)
		if r.made.texts == nil {
			r.made.texts = map[outOf]string{}
		}
		r.made.texts[x] = text
	}
	return text
}

func (r *round) scheduledCondition(c *conditions, m *model) {
	if r.blind(c, state.CondScheduled) {
		return
	}
	if m.Accepted == 0 {
		c.set(state.CondScheduled, state.StatusFalse, actors.CondNotAccepted, "no revision was ever accepted")
		return
	}
	for _, w := range m.waits {
		switch w.Reason {
		case actors.WaitBackOff, actors.WaitPortConflict, actors.WaitRestarting:
		default:
			c.set(state.CondScheduled, state.StatusFalse, w.Reason, w.Message)
			return
		}
	}
	desired, placed := m.counts(func(v *unit) bool { return v.PlacementGroup.State == state.GroupCreated && !v.is(leaving) })
	if placed < desired {
		message := state.OutOf(placed, desired, "placement group", "ready")
		if i := slices.IndexFunc(m.units, func(v *unit) bool { return r.isSlowToPlace(v.Unit) }); i >= 0 {
			message += ": " + slowToPlace(m.units[i].Unit)
		}
		c.set(state.CondScheduled, state.StatusFalse, actors.CondPending, message)
		return
	}
	c.set(state.CondScheduled, state.StatusTrue, actors.CondOK, "")
}

// placesWithin is how long Ray takes at most for a group that fits, as a rule; mostly it takes
// milliseconds.
const placesWithin = 10 * time.Second

// isSlowToPlace reports whether Ray has not taken or not placed a unit's group for long. Where
// a raylet hangs nothing else tells so: Ray's tables answer, and its node is taken for dead
// later, if at all. Where the tables hang the unit stays pending, and all else looks well.
func (r *round) isSlowToPlace(u *state.Unit) bool {
	asked := u.State == state.UnitPending || u.State == state.UnitPlacing && u.PlacementGroup.State == state.GroupPending
	if !asked || u.ChangedAt.IsZero() {
		return false
	}
	due := u.ChangedAt.Add(placesWithin)
	r.checkAt(due)
	return !due.After(r.in.Now)
}

// slowToPlace says so, of a unit for which there is room as far as is known.
func slowToPlace(u *state.Unit) string {
	if u.State == state.UnitPending {
		return fmt.Sprintf("Ray was asked for %s more than %.0f s ago and has not taken its placement group; "+
			"see `ray status`, and whether Ray's tables answer (gcs_server on the head, its log is gcs_server.out)", u.Unit, placesWithin.Seconds())
	}
	return fmt.Sprintf("Ray was asked for %s more than %.0f s ago and has not placed it, though there is room; "+
		"see `ray status`, and whether the raylet of each node answers (its log is raylet.out)", u.Unit, placesWithin.Seconds())
}

// counts sums over the roles what is wanted and what of the wanted generation
// answers a question.
func (m *model) counts(ok func(*unit) bool) (desired, have int) {
	if m.Spec.Suspend || m.deletion == deleted {
		return 0, 0
	}
	for _, r := range m.roles {
		desired += r.count
		have += min(count(r.fresh, ok), r.count)
	}
	return desired, have
}

func (r *round) workersConditions(c *conditions, m *model) {
	if r.blind(c, state.CondWorkersReady) {
		return
	}
	running := func(v *unit) bool { return v.running() && !v.is(leaving) }
	desired, have := m.counts(running)
	set := func(typ string, have, desired int) {
		switch {
		case m.Accepted == 0:
			c.set(typ, state.StatusFalse, actors.CondNotAccepted, "no revision was ever accepted")
		case m.deletion == deleted:
			c.set(typ, state.StatusFalse, actors.CondDeleting, beingStopped)
		case m.Spec.Suspend:
			c.set(typ, state.StatusFalse, actors.CondSuspended, "spec.suspend is true")
		case desired == 0:
			c.set(typ, state.StatusFalse, actors.CondScaledToZero, "the spec asks for no replica")
		case have < desired:
			reason, message := r.whyNotRunning(m)
			c.set(typ, state.StatusFalse, reason, r.outOf(have, desired, "worker", "healthy")+message)
		default:
			c.set(typ, state.StatusTrue, actors.CondOK, r.outOf(have, desired, "worker", "healthy"))
		}
	}
	set(state.CondWorkersReady, have, desired)
	for _, x := range m.roles {
		switch x.Role {
		case state.RolePrefill:
			set(state.CondPrefillReady, min(count(x.fresh, running), x.count), x.count)
		case state.RoleDecode:
			set(state.CondDecodeReady, min(count(x.fresh, running), x.count), x.count)
		}
	}
}

// whyNotRunning names the first thing that keeps a worker from being healthy.
func (r *round) whyNotRunning(m *model) (reason, message string) {
	if busy := r.busyCard(m); busy != "" {
		return actors.WaitGPUBusy, ": " + busy
	}
	for _, w := range m.waits {
		return w.Reason, ": " + w.Message
	}
	for _, v := range m.units {
		for _, a := range v.Actors {
			switch {
			case v.Generation != m.inForce.Generation || v.running() || a.Failures == 0:
			case a.Exit != nil:
				return actors.WaitRestarting, ": " + exitMessage(&a)
			case a.LastExit != nil:
				return actors.CondStarting, fmt.Sprintf(": attempt %d starts after %s", a.Attempt, exitMessage(&a))
			}
		}
		switch {
		case v.Unit.State == state.UnitWaiting:
			return actors.CondInfraStarting, ": waiting for etcd and NATS"
		case v.Unit.State == state.UnitPlacing && v.PlacementGroup.State == state.GroupCreated:
			return actors.CondStarting, ": its place is there, and Ray makes its actor"
		}
	}
	return actors.CondStarting, ""
}
