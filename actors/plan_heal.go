package actors

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"dynctl/state"
)

// portConflictRetry bounds the wait for a port that was promised: whoever holds
// it may leave at any time, and nothing but looking tells.
const portConflictRetry = 5 * time.Second

// infraRetry bounds the wait of etcd, NATS and the frontend, and the wait counts from the
// start of the attempt that ended: everything needs them, so only one that ends soon after
// its start is waited for, and no request for longer than this.
const infraRetry = 2 * time.Second

// healing is what one unit needs to run again.
type healing struct {
	attempts map[string]Attempt
	reason   string
	message  string
	// until is when the next attempt of some actor falls due; zero: none waits.
	until  time.Time
	waited Wait
}

// ask notes an attempt. The first reason given stands for the whole start.
func (h *healing) ask(actor string, a Attempt, reason, message string) {
	if h.attempts == nil {
		h.attempts = map[string]Attempt{}
	}
	if _, ok := h.attempts[actor]; ok {
		return
	}
	h.attempts[actor] = a
	if h.reason == "" {
		h.reason, h.message = reason, message
	}
}

// heal compares the actors of a unit with its template. The rules, first match
// wins for each actor:
//
//  1. the actor is missing, and not about to be made: create it and execute
//  2. the actor died: create it anew and execute, by backoff
//  3. the process exited: execute it in place, by backoff
//  4. the actor was never told to execute: execute
//  5. otherwise it is left alone
func (p *planner) heal(u state.Unit, templates []ActorTemplate, backoff state.BackoffSpec) healing {
	var h healing
	for _, t := range templates {
		a, ok := findActor(u, t.Name)
		switch {
		case !ok && (u.State == state.UnitPending || u.State == state.UnitPlacing):
		case !ok:
			h.ask(t.Name, Attempt{Number: 1}, ReasonNotExecuted, "actor "+t.Name+" does not exist")
		case a.State == state.ActorDead:
			p.healExit(&h, u, a, backoff, ReasonActorDied)
		case a.State == state.UnitExited && a.Attempt > 0:
			p.healExit(&h, u, a, backoff, ReasonExited)
		case a.State == state.UnitExited:
			h.ask(t.Name, Attempt{Number: 1}, ReasonNotExecuted, "actor "+t.Name+" was never told what to execute")
		}
	}
	return h
}

// withAllRanks executes every rank of a multi-node worker anew when one is: the
// others wait for a peer that is gone.
func (h *healing) withAllRanks(u state.Unit) {
	if len(h.attempts) == 0 {
		return
	}
	for _, a := range u.Actors {
		if a.Attempt > 0 {
			h.ask(a.Name, Attempt{Number: a.Attempt + 1, Failures: a.Failures}, h.reason, h.message)
		}
	}
}

// healExit asks for the next attempt when it is due, and says how long to wait
// otherwise.
func (p *planner) healExit(h *healing, u state.Unit, a state.Actor, spec state.BackoffSpec, reason string) {
	next, due := nextAttempt(u, a, spec)
	if due.After(p.in.Now) {
		if h.until.IsZero() || due.Before(h.until) {
			h.until = due
			why := WaitBackOff
			if a.Exit != nil && a.Exit.Reason == WaitPortConflict {
				why = WaitPortConflict
			}
			h.waited = Wait{Key: u.Key(), Model: u.Model, Reason: why, Message: exitMessage(a), Until: due}
		}
		return
	}
	h.ask(a.Name, next, reason, exitMessage(a))
}

// ended is how an actor's last attempt that is over ended; nil if none is.
func ended(a state.Actor) *state.Exit {
	if a.Exit != nil {
		return a.Exit
	}
	return a.LastExit
}

// exitMessage says how the last attempt ended, why, and what to do about it.
func exitMessage(a state.Actor) string {
	e := ended(a)
	if e == nil {
		return fmt.Sprintf("%s, attempt %d: the actor died", a.Name, a.Attempt)
	}
	text := fmt.Sprintf("%s, attempt %d: %s, code %d", a.Name, cmp.Or(e.Attempt, a.Attempt), e.Reason, e.Code)
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// nextAttempt numbers the attempt that follows an exit and says when it is due.
// The first exit is followed at once; an exit while etcd or NATS was away does
// not count, and a process that was healthy for resetAfter starts over.
func nextAttempt(u state.Unit, a state.Actor, spec state.BackoffSpec) (Attempt, time.Time) {
	next := Attempt{Number: a.Attempt + 1, Failures: a.Failures + 1}
	if a.Exit == nil {
		return next, time.Time{}
	}
	switch {
	case a.Exit.InfraAway:
		next.Failures = a.Failures
		return next, time.Time{}
	case a.Exit.ReadyFor >= time.Duration(spec.ResetAfter).Seconds():
		next.Failures = 1
	}
	delay := backoffDelay(spec, next.Failures, u.Key().String()+"/"+a.Name, next.Number)
	if a.Exit.Reason == WaitPortConflict {
		delay = min(delay, portConflictRetry)
	}
	from := a.Exit.At
	if u.Unit == InfraUnit {
		delay = min(delay, infraRetry)
		if !a.StartedAt.IsZero() {
			from = a.StartedAt
		}
	}
	return next, from.Add(delay)
}

// backoffDelay is how long the attempt after the given number of failures in a
// row waits: nothing after the first, then initial * multiplier^n up to max. The
// jitter comes from a hash, for the planner has no randomness.
func backoffDelay(spec state.BackoffSpec, failures int, object string, attempt int) time.Duration {
	if failures <= 1 {
		return 0
	}
	d := float64(spec.Initial) * math.Pow(spec.Multiplier, float64(failures-2))
	d = min(d, float64(spec.Max))
	if spec.Jitter != nil {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s/%d", object, attempt)
		fraction := float64(h.Sum64()%2000)/1000 - 1 // -1 to 1
		d *= 1 + *spec.Jitter*fraction
	}
	return time.Duration(d)
}

// placementRetry says when a unit whose placement failed is tried again.
func placementRetry(u state.Unit, spec state.BackoffSpec) (Attempt, time.Time) {
	next := Attempt{Number: u.Attempt + 1, Failures: u.Failures + 1}
	return next, u.ChangedAt.Add(backoffDelay(spec, next.Failures, u.Key().String(), next.Number))
}

// unplaced says that neither a group nor an actor of the unit is left.
func unplaced(u state.Unit) bool {
	if u.State != state.UnitExited {
		return false
	}
	for _, a := range u.Actors {
		if a.State != state.ActorDead {
			return false
		}
	}
	switch u.PlacementGroup.State {
	case "", "REMOVED", "RESCHEDULING", "INFEASIBLE":
		return true
	}
	return false
}

// stranded says that the group of a unit lost a node with part of its ranks. The others
// wait for a peer that is gone, and keep Ray from giving the group up.
func stranded(u state.Unit) bool {
	dead := func(a state.Actor) bool { return a.State == state.ActorDead }
	return u.State != state.UnitStopping && u.PlacementGroup.State == "RESCHEDULING" &&
		slices.ContainsFunc(u.Actors, dead) && !unplaced(u)
}

// strandedGrace is how long the ranks that are left may take: they serve nobody.
const strandedGrace = 5 * time.Second

func findActor(u state.Unit, name string) (state.Actor, bool) {
	for _, a := range u.Actors {
		if a.Name == name {
			return a, true
		}
	}
	return state.Actor{}, false
}
