package plan

import (
	"time"

	"dynctl/actors"
	"dynctl/actors/render"
	"dynctl/state"
)

// renewal is the wish that processes of a unit are executed again, in place.
type renewal struct {
	attempts        map[string]actors.Attempt
	reason, message string
	// until is when the next attempt of some actor falls due; zero: none waits. wait says
	// why.
	until time.Time
	wait  actors.Wait
}

// ask wishes for an attempt. The first reason given stands for the whole unit.
func (w *renewal) ask(actor string, a actors.Attempt, reason, message string) {
	if w.attempts == nil {
		w.attempts = map[string]actors.Attempt{}
	}
	if _, ok := w.attempts[actor]; ok {
		return
	}
	w.attempts[actor] = a
	if w.reason == "" {
		w.reason, w.message = reason, message
	}
}

// proposeExited compares the actors of a unit with its template. The rules, first match
// wins for each actor:
//
//  1. the actor is missing, and not about to be made: create it and execute
//  2. the actor died: recreate it and execute, by backoff
//  3. the frontend exited, and something else is to be executed: execute that
//  4. the process exited: execute it in place, by backoff
//  5. the actor was never told to execute: execute
//
// Otherwise it is left alone.
func proposeExited(u *state.Unit, templates []actors.ActorTemplate, backoff state.BackoffSpec, now time.Time) renewal {
	var w renewal
	for _, t := range templates {
		a := findActor(u, t.Name)
		switch {
		case a == nil && (u.State == state.UnitPending || u.State == state.UnitPlacing):
		case a == nil: // rule 1
			w.ask(t.Name, actors.Attempt{Number: 1}, actors.ReasonNotExecuted, "actor "+t.Name+" does not exist")
		case a.State == state.ActorDead: // rule 2
			w.askByBackoff(u, a, actors.ReasonActorDied, backoff, now)
		case a.State == state.UnitExited && a.Attempt > 0 && t.IsFrontend() && a.Digest != t.Digest: // rule 3
			w.ask(t.Name, actors.Attempt{Number: a.Attempt + 1}, actors.ReasonTemplateChanged, "the frontend's command line changed")
		case a.State == state.UnitExited && a.Attempt > 0: // rule 4
			w.askByBackoff(u, a, actors.ReasonExited, backoff, now)
		case a.State == state.UnitExited: // rule 5
			w.ask(t.Name, actors.Attempt{Number: 1}, actors.ReasonNotExecuted, "actor "+t.Name+" was never told what to execute")
		}
	}
	return w
}

// askByBackoff wishes for the next attempt when it is due, and says how long to wait
// otherwise.
func (w *renewal) askByBackoff(u *state.Unit, a *state.Actor, reason string, spec state.BackoffSpec, now time.Time) {
	next, due := nextAttempt(u, a, spec)
	if !due.After(now) {
		w.ask(a.Name, next, reason, exitMessage(a))
		return
	}
	if !w.until.IsZero() && !due.Before(w.until) {
		return
	}
	why := actors.WaitBackOff
	if a.Exit != nil && a.Exit.Reason == actors.WaitPortConflict {
		why = actors.WaitPortConflict
	}
	w.until = due
	w.wait = actors.Wait{Key: u.Key(), Model: u.Model, Reason: why, Message: exitMessage(a), Until: due}
}

// withAllRanks restarts every rank of a multi-node worker when one is: the others wait
// for a peer that is gone.
func (w *renewal) withAllRanks(u *state.Unit) {
	if len(w.attempts) == 0 {
		return
	}
	for _, a := range u.Actors {
		if a.Attempt > 0 {
			w.ask(a.Name, actors.Attempt{Number: a.Attempt + 1, Failures: a.Failures}, w.reason, w.message)
		}
	}
}

// proposeRefresh restarts a worker whose environment names an infra that moved, or
// whose registration went with etcd's data (docs/dynamo.md, "In etcd": nothing registers
// again by itself).
func (w *renewal) proposeRefresh(s *server, u *state.Unit, dataLost bool) {
	for i := range u.Actors {
		a := &u.Actors[i]
		if a.State != state.UnitRunning && a.State != state.UnitStarting {
			continue
		}
		next := actors.Attempt{Number: a.Attempt + 1}
		switch {
		case s.infra != nil && s.usesStale(a):
			w.ask(a.Name, next, actors.ReasonInfraMoved, "etcd or NATS came back at another address")
		case dataLost && registrationLost(s, u):
			w.ask(a.Name, next, actors.ReasonRegistrationLost, "etcd came back without its data")
		}
	}
}

// proposeFrontend restarts a frontend whose template changed, or whose registrations
// went with etcd's data. etcd and NATS never notice.
func (w *renewal) proposeFrontend(s *server, templates []actors.ActorTemplate, dataLost bool) {
	u := s.infra
	for _, t := range templates {
		if !t.IsFrontend() {
			continue
		}
		a := findActor(u, t.Name)
		if a == nil || a.Attempt == 0 || a.State != state.UnitRunning && a.State != state.UnitStarting {
			continue
		}
		next := actors.Attempt{Number: a.Attempt + 1}
		switch {
		case a.Digest != t.Digest:
			w.ask(t.Name, next, actors.ReasonTemplateChanged, "the frontend's command line changed; a gap of 1 to 3 s")
		case s.usesStale(a):
			w.ask(t.Name, next, actors.ReasonInfraMoved, "etcd or NATS came back at another address")
		case dataLost && a.StartedAt.Before(etcdStarted(s)):
			w.ask(t.Name, next, actors.ReasonRegistrationLost, "etcd came back without its data")
		}
	}
}

// sound reports whether every actor of a unit is there and none has ended.
func sound(u *state.Unit, r *actors.RoleTemplate) bool {
	for i := range u.Actors {
		if a := &u.Actors[i]; a.State != state.UnitRunning && a.State != state.UnitStarting && a.State != state.UnitWaiting {
			return false
		}
	}
	return len(u.Actors) == render.Ranks(r, len(u.PlacementGroup.Bundles))
}

// proposeRestart are the units of a role that are to be restarted because the spec's
// restart text changed. What has lost its group starts in another one, if there is room.
func proposeRestart(m *model, r *role) []*unit {
	return which(r.fresh, func(u *unit) bool {
		return !m.restarted(u) && u.standing == wanted && !u.is(leaving) && !u.is(lost) && !stranded(u.Unit)
	})
}

// restarted reports whether a unit is as the spec's restart text asks: no text asks for nothing,
// also where there was one, as in a file that `dynctl restart` has not written.
func (m *model) restarted(u *unit) bool {
	return m.Spec.Restart == "" || u.Restart == m.Spec.Restart
}
