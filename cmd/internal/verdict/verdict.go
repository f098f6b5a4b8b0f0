// Package verdict says in one word how an object of the status bucket is doing,
// which condition stands in the way, and since when. It is what the ops page
// and the command line have in common; it knows nothing of either.
package verdict

import (
	"fmt"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// Words of a verdict.
const (
	Serving   = "serving"        // all that is wanted serves
	Degraded  = "degraded"       // traffic is served, but not by all that is wanted, as far as is known
	Stale     = "stale"          // traffic is served by an older spec; the last one was rejected
	Suspended = "suspended"      // asked not to run
	Zero      = "scaled-to-zero" // asked for no replica
	Rejected  = "rejected"       // the only spec there is was rejected
	Waiting   = "waiting"        // no room, or no place, on the cluster
	Failing   = "failing"        // its processes exit
	Starting  = "starting"       // on the way
	Deleting  = "deleting"       // its spec is deleted, and what runs of it is being stopped
	Unknown   = "unknown"        // nothing can be said
)

// Verdict is what a status comes down to, in words that a person uses.
type Verdict struct {
	// Word is one of the words above.
	Word string
	// Unsure: traffic is served, as the frontend says, and whether by all that is wanted is
	// not known. Word is Degraded then, for whoever waits for all of it.
	Unsure bool
	// Blocking is the condition that stands in the way; nil when none does. Also
	// what serves may have one: a rollout under way.
	Blocking *state.Condition
	// Since is when traffic was last served or not served any more.
	Since time.Time
	// Until is when the role that waits longest is executed again; zero: none waits.
	Until time.Time
}

// AgentSilence is the age of a heartbeat from which the agent counts as lost.
var AgentSilence = actors.DefaultPolicy("").AgentTimeout

// Order is the order in which conditions are looked at: the first that is not
// True explains those after it. [state.CondSuspended] is not among them: it is
// True where nothing is to run.
var Order = []string{
	state.CondAccepted, state.CondScheduled, state.CondPrefillReady, state.CondDecodeReady,
	state.CondWorkersReady, state.CondRegistered, state.CondRouterReady, state.CondReady,
	state.CondAvailable, state.CondUpToDate,
}

// Judge reads a status as of now. The first rule that matches wins.
func Judge(s *state.Status, now time.Time) Verdict {
	v := Verdict{Until: until(s, now), Blocking: blocking(s), Since: since(s)}
	available, gone := statusOf(s, state.CondAvailable), unwanted(s)
	v.Unsure = available == state.StatusTrue && statusOf(s, state.CondReady) == state.StatusUnknown
	agentFails := v.Blocking != nil && v.Blocking.Reason == actors.WaitAgentFailing
	switch {
	case statusOf(s, state.CondSuspended) == state.StatusTrue:
		v.Word = Suspended
		c, _ := s.Condition(state.CondSuspended)
		v.Blocking, v.Since = &c, c.LastTransitionTime
	case gone != "":
		v.Word = gone
	case available == state.StatusTrue && statusOf(s, state.CondReady) == state.StatusTrue:
		v.Word = Serving
	case available == state.StatusTrue && statusOf(s, state.CondAccepted) == state.StatusFalse:
		v.Word = Stale
	case available == state.StatusTrue:
		v.Word = Degraded
	case statusOf(s, state.CondAccepted) == state.StatusFalse:
		v.Word = Rejected
	case statusOf(s, state.CondScheduled) == state.StatusFalse && !agentFails:
		v.Word = Waiting
	case !v.Until.IsZero(), agentFails:
		v.Word = Failing
	case available == state.StatusUnknown, agentIsLost(v.Blocking):
		v.Word = Unknown
	default:
		v.Word = Starting
	}
	return v
}

// unwanted is the word for what is to run no more; empty: it is to run. What is deleted is
// that whatever of it still serves.
func unwanted(s *state.Status) string {
	switch c, _ := s.Condition(state.CondReady); {
	case c.Reason == actors.CondDeleting:
		return Deleting
	case c.Reason == actors.CondScaledToZero && statusOf(s, state.CondAvailable) != state.StatusTrue:
		return Zero
	}
	return ""
}

// agentIsLost reports whether nobody sees what runs, so that nothing is on its way either.
func agentIsLost(blocking *state.Condition) bool {
	return blocking != nil && blocking.Status == state.StatusUnknown && blocking.Reason == actors.WaitAgentLost
}

// Shown is the word for people.
func (v Verdict) Shown() string {
	if v.Unsure && v.Word == Degraded {
		return Serving + "?"
	}
	return v.Word
}

// Meanwhile says what is known where not all is; empty where nothing is to be added.
func (v Verdict) Meanwhile() string {
	if v.Unsure && v.Word == Degraded {
		return "the frontend says that it serves; whether all that is wanted does is not known"
	}
	return ""
}

// Count says how many of a role's workers are ready, of how many: with a question mark where
// that is how many were when it was known last.
func Count(r state.RoleStatus) string {
	if r.LastKnown {
		return fmt.Sprintf("%d?/%d", r.Ready, r.Desired)
	}
	return fmt.Sprintf("%d/%d", r.Ready, r.Desired)
}

// since is when traffic was last served or not served any more.
func since(s *state.Status) time.Time {
	c, ok := s.Condition(state.CondAvailable)
	if !ok {
		c, _ = s.Condition(state.CondReady)
	}
	return c.LastTransitionTime
}

// blocking is the first condition that is not True; nil: there is none.
func blocking(s *state.Status) *state.Condition {
	for _, typ := range Order {
		if c, ok := s.Condition(typ); ok && c.Status != state.StatusTrue {
			return &c
		}
	}
	return nil
}

func statusOf(s *state.Status, typ string) string {
	if c, ok := s.Condition(typ); ok {
		return c.Status
	}
	return state.StatusUnknown
}

// until is the end of the longest backoff that is not over.
func until(s *state.Status, now time.Time) (last time.Time) {
	for _, r := range s.Roles {
		if r.BackoffUntil != nil && r.BackoffUntil.After(now) && r.BackoffUntil.After(last) {
			last = *r.BackoffUntil
		}
	}
	return last
}

// Warnings are what the accepted spec says and what does not do what it seems to,
// each with its field.
func Warnings(s *state.Status) []string {
	c, ok := s.Condition(state.CondAccepted)
	if !ok || c.Reason != actors.CondWarnings {
		return nil
	}
	return strings.Split(c.Message, "\n")
}

// Ref is the object of a status as a person names it: model/NAME or server/NAME.
func Ref(s *state.Status) string {
	if s.Kind == state.KindServer {
		return "server/" + s.Server
	}
	return "model/" + s.Name
}

// Describe is a condition in one line: "Scheduled=False InsufficientGPUs: needs 8, 4 are free".
func Describe(c state.Condition) string {
	text := c.Type + "=" + c.Status
	if c.Reason != "" {
		text += " " + c.Reason
	}
	if c.Message != "" {
		line, _, _ := strings.Cut(c.Message, "\n")
		text += ": " + line
	}
	return text
}
