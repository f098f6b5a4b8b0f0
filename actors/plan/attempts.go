package plan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// Bounds of the wait for a port that was promised: whoever holds it may leave at any time,
// and nothing but looking tells. What holds it after so many attempts, of 3 to 8 s each, is
// no process that is just ending, and is looked for more seldom.
const (
	portConflictRetry = 5 * time.Second
	portConflictsSoon = 6
	portConflictMax   = time.Minute
)

// infraRetry bounds the wait of etcd, NATS and the frontend, and the wait counts from the
// start of the attempt that ended: everything needs them, so only one that ends soon after
// its start is waited for, and no request for longer than this.
const infraRetry = 2 * time.Second

// nextAttempt numbers the attempt that follows an exit and says when it is due. The first
// exit is followed at once; an exit while etcd or NATS was away does not count, and a
// process that was healthy for resetAfter starts over.
func nextAttempt(u *state.Unit, a *state.Actor, spec state.BackoffSpec) (actors.Attempt, time.Time) {
	next := actors.Attempt{Number: a.Attempt + 1, Failures: a.Failures + 1}
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
	from := a.Exit.At
	if a.Exit.Reason == actors.WaitPortConflict {
		if next.Failures > portConflictsSoon {
			return next, from.Add(min(delay, portConflictMax))
		}
		delay = min(delay, portConflictRetry)
	}
	if u.Unit == actors.InfraUnit {
		delay = min(delay, infraRetry)
		if !a.StartedAt.IsZero() {
			from = a.StartedAt
		}
	}
	return next, from.Add(delay)
}

// nextPlacement says when a unit whose placement failed is tried again.
func nextPlacement(u *state.Unit, spec state.BackoffSpec) (actors.Attempt, time.Time) {
	next := actors.Attempt{Number: u.Attempt + 1, Failures: u.Failures + 1}
	return next, u.ChangedAt.Add(backoffDelay(spec, next.Failures, u.Key().String(), next.Number))
}

// backoffDelay is how long the attempt after the given number of failures in a row waits:
// nothing after the first, then initial * multiplier^n up to max. The jitter comes from a
// hash, for the planner has no randomness.
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

// firstAttempts numbers the first execution in a new group: one more than the last of an
// actor that is still reported, so that the number grows over the unit's life.
func firstAttempts(u *state.Unit, templates []actors.ActorTemplate) map[string]actors.Attempt {
	out := make(map[string]actors.Attempt, len(templates))
	for _, t := range templates {
		attempt, failures := attempted(u, t.Name)
		out[t.Name] = actors.Attempt{Number: attempt + 1, Failures: failures}
	}
	return out
}

// attempted is the last attempt of a unit's actor and how many have failed in a row; 0 where
// there is none.
func attempted(u *state.Unit, actor string) (attempt, failures int) {
	if u == nil {
		return 0, 0
	}
	a := findActor(u, actor)
	if a == nil {
		return 0, 0
	}
	return a.Attempt, a.Failures
}

// ended is how an actor's last attempt that is over ended; nil if none is.
func ended(a *state.Actor) *state.Exit {
	if a.Exit != nil {
		return a.Exit
	}
	return a.LastExit
}

// exitMessage says how the last attempt ended, why, and what to do about it.
func exitMessage(a *state.Actor) string {
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
