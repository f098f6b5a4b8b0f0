package plan

import (
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// admission grants the wishes of one model, in the order of [round.planModel]. What it
// grants counts for all that it is asked later; what is observed does not change.
type admission struct {
	*round
	m *model
	// leaving are the units whose leave was granted.
	leaving map[*unit]bool
	// displaced says of a role why a unit of it that has lost its group finds no other.
	// refused: of those, where Ray did not place one in time.
	displaced map[*role]*place.Unfit
	refused   map[*role]bool
}

// What of a unit counts while wishes are granted.
func (a *admission) stays(u *unit) bool   { return u.stays() && !a.leaving[u] }
func (a *admission) placed(u *unit) bool  { return u.placed() && !a.leaving[u] }
func (a *admission) serving(u *unit) bool { return u.is(serving) && !a.leaving[u] }
func (a *admission) ready(u *unit) bool   { return u.ready() && !a.leaving[u] }

// planModel applies, first match wins:
//
//  1. somebody else owns the server's names: nothing is touched
//  2. the model is deleted: every unit stops
//  3. no revision was ever accepted: nothing
//  4. the server is torn down: every unit stops with it
//  5. it is suspended: every unit stops
//  6. what one of its units does cannot be read: the others are healed, nothing else
//  7. otherwise: replicas beyond the count stop, exited ones are executed again, missing
//     ones start, old generations are replaced within the budget
func (r *round) planModel(m *model) {
	a := &r.made.admission
	*a = admission{round: r, m: m}
	switch {
	case !r.acting, m.Recovering: // what was accepted is not known yet
	case m.server.blocked == actors.WaitNotOwner, m.server.blocked == actors.WaitCuratorAlive: // rule 1
		a.waitFor(m.server.blocked, m.server.blockedMessage)
	case m.deletion == deleted: // rule 2
		a.grant(m.units, leaveDeleted)
	case m.Accepted == 0: // rule 3
	case m.server.recreating: // rule 4
		a.grant(m.units, leaveRecreating(m.server))
	case m.Spec.Suspend && m.deletion != held: // rule 5
		a.grant(m.units, leaveSuspended)
	case r.hiddenOf(m): // rule 6
		a.heal()
	default: // rule 7
		a.scaleDown()
		a.heal()
		a.bringUp()
	}
	a.retire()
}

// bringUp starts what misses and rolls, unless nothing of the model may start:
//
//  1. its server is in the way
//  2. the Dynamo on a node is too old for what is rendered here
func (a *admission) bringUp() {
	m := a.m
	if m.server.blocked != "" { // rule 1
		a.waitFor(m.server.blocked, m.server.blockedMessage)
		return
	}
	if why := a.releases.TooOld(m.inForce.RuntimeEnv()); why != "" { // rule 2
		if slices.ContainsFunc(m.roles, func(r *role) bool { return count(r.fresh, a.stays) < r.count }) {
			a.waitFor(actors.WaitDynamoTooOld, why)
		}
		return
	}
	a.roll()
	m.giveUp = a.givesUp()
	a.tellTurns()
}

func (a *admission) waitFor(reason, message string) {
	a.wait(actors.Wait{Key: state.UnitKey{Server: a.m.Server}, Model: a.m.Name, Reason: reason, Message: message})
}

func (a *admission) wait(w actors.Wait) {
	a.m.waits = append(a.m.waits, w)
	a.checkAt(w.Until)
}

// grant lets units end.
func (a *admission) grant(units []*unit, l leave) {
	for _, u := range units {
		a.grantOne(u, l)
	}
}

func (a *admission) grantOne(u *unit, l leave) {
	if a.leaving == nil {
		a.leaving = map[*unit]bool{}
	}
	a.leaving[u] = true
	if l.grace == 0 {
		l.grace = time.Duration(a.m.Spec.TerminationGracePeriod)
		if a.m.Accepted == 0 {
			l.grace = infraGrace
		}
	}
	a.stop(u.Unit, actors.End{GracePeriod: l.grace, Reason: l.reason, Message: l.message, Revision: a.m.Revision, Ahead: l.ahead})
}

// scaleDown lets replicas beyond the count go.
func (a *admission) scaleDown() {
	a.waitForFrontend()
	for _, r := range a.m.roles {
		a.grant(a.admit(beyondCount, proposeSurplus(r), 0), leaveSurplus)
	}
}

// heal gives every unit what it needs to run again, in the order of their ids: another
// group where it has lost its own, another execution where one ended.
func (a *admission) heal() {
	lost := registrationsLost(a.m.server, a.in.Now)
	for _, u := range a.m.units {
		switch {
		case !a.stays(u):
		case unplaced(u.Unit):
			a.replace(proposeReplacement(a.m, u, a.in.Now))
		case stranded(u.Unit):
			a.grantOne(u, leaveStranded)
		default:
			a.tellWhatItAwaits(u)
			a.renew(u, lost)
		}
	}
}

// renew executes again what of a unit needs it. An old unit whose template is not kept is
// replaced, not healed.
func (a *admission) renew(u *unit, dataLost bool) {
	source, role := a.m.source(u.Unit)
	if source == nil {
		return
	}
	var w renewal
	w.proposeRefresh(a.m.server, u.Unit, dataLost)
	if len(w.attempts) == 0 && sound(u.Unit, role) {
		return // making its template is what costs most here
	}
	t := a.template(a.m, *source, *role, unitAt{index: u.Replica, worker: u.Worker, shape: shapeOf(u.Unit), restart: u.Restart})
	w = proposeExited(u.Unit, t.Actors, a.m.server.Spec.Healing.Backoff, a.in.Now)
	w.proposeRefresh(a.m.server, u.Unit, dataLost)
	w.withAllRanks(u.Unit)
	if !w.until.IsZero() {
		a.wait(w.wait)
	}
	a.execute(w, t, u.Unit, a.m.Accepted)
}

// execute grants what of a renewal is due.
func (r *round) execute(w renewal, t actors.UnitTemplate, u *state.Unit, revision uint64) {
	if len(w.attempts) > 0 {
		r.start(actors.Start{Template: t, Attempts: w.attempts, Placement: actors.Attempt{Number: u.Attempt, Failures: u.Failures},
			Reason: w.reason, Message: w.message, Revision: revision, Seen: u.Revision})
	}
}

// tellWhatItAwaits says why a unit is not placed that was started when it fitted, or for
// nodes that are to come, and that fits nowhere now: its group waits in Ray.
func (a *admission) tellWhatItAwaits(u *unit) {
	if u.standing == old || u.PlacementGroup.State == state.GroupCreated {
		return
	}
	needs := a.m.role(u.Role).Needs
	if _, unfit := place.Worker(needs, a.ledger.room()); unfit == nil {
		return // beside itself even
	}
	_, unfit := place.Worker(needs, a.ledger.without(func(x *state.Unit) bool { return x.Key() == u.Key() }))
	if unfit == nil {
		return
	}
	w := actors.Wait{Key: u.Key(), Model: a.m.Name, Reason: unfit.Reason, Message: unfit.Message}
	if a.waitsForNodes(a.m.server) {
		w.Reason = actors.ReasonWaitingForNodes
	}
	a.wait(w)
}

// tellTurns says of replicas that find no room only because others are about to leave, or
// have just left, that they take their turn: nobody has to scale anything down. For a
// generation that does not start nobody leaves.
func (a *admission) tellTurns() {
	m := a.m
	short := func(w actors.Wait) bool {
		return w.Reason == actors.ReasonInsufficientGPUs || w.Reason == actors.ReasonInsufficientCPUs
	}
	if m.stalled != "" || m.giveUp || m.failing() || !slices.ContainsFunc(m.waits, short) {
		return
	}
	reason, message := actors.CondRolling, "it takes the place of a replica of the old generation, which leaves first"
	if !m.rolling() {
		reason, message = actors.CondPending, "Ray has not counted yet what a unit that has just ended gave back"
		if !slices.ContainsFunc(m.roles, func(r *role) bool { return a.fitsOnceCounted(r.Needs) }) {
			return
		}
	}
	for i, w := range m.waits {
		if short(w) {
			m.waits[i].Reason, m.waits[i].Message = reason, message
		}
	}
}
