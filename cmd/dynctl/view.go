package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// verdict is what a status comes down to, in words that a person uses.
type verdict struct {
	// word is one of: serving, degraded, stale, suspended, rejected, waiting,
	// failing, starting, unknown.
	word string
	// blocking is the condition that stands in the way; nil when none does.
	blocking *state.Condition
	since    time.Time
	next     string
}

// Words of a verdict.
const (
	wordServing   = "serving"   // all that is wanted serves
	wordDegraded  = "degraded"  // traffic is served, but not by all that is wanted
	wordStale     = "stale"     // traffic is served by an older spec; the last one was rejected
	wordSuspended = "suspended" // asked not to run
	wordRejected  = "rejected"  // the only spec there is was rejected
	wordWaiting   = "waiting"   // no room, or no place, on the cluster
	wordFailing   = "failing"   // its processes exit
	wordStarting  = "starting"  // on the way
	wordUnknown   = "unknown"   // nothing can be said
)

// blockingOrder is the order in which conditions are looked at: the first that is
// not True explains those after it.
var blockingOrder = []string{
	state.CondAccepted, state.CondScheduled, state.CondPrefillReady, state.CondDecodeReady,
	state.CondWorkersReady, state.CondRegistered, state.CondRouterReady, state.CondReady,
	state.CondAvailable, state.CondUpToDate,
}

func condition(s *state.Status, typ string) string {
	c, ok := s.Condition(typ)
	if !ok {
		return state.StatusUnknown
	}
	return c.Status
}

// judge reads a status. The first rule that matches wins.
func judge(s *state.Status, now time.Time) verdict {
	var v verdict
	if c, ok := s.Condition(state.CondAvailable); ok {
		v.since = c.LastTransitionTime
	} else if c, ok := s.Condition(state.CondReady); ok {
		v.since = c.LastTransitionTime
	}
	for _, typ := range blockingOrder {
		if c, ok := s.Condition(typ); ok && c.Status != state.StatusTrue {
			v.blocking = &c
			break
		}
	}
	available := condition(s, state.CondAvailable)
	switch {
	case condition(s, state.CondSuspended) == state.StatusTrue:
		v.word = wordSuspended
		c, _ := s.Condition(state.CondSuspended)
		v.blocking, v.since = &c, c.LastTransitionTime
	case available == state.StatusTrue && condition(s, state.CondReady) == state.StatusTrue:
		v.word = wordServing
	case available == state.StatusTrue && condition(s, state.CondAccepted) == state.StatusFalse:
		v.word = wordStale
	case available == state.StatusTrue:
		v.word = wordDegraded
	case condition(s, state.CondAccepted) == state.StatusFalse:
		v.word = wordRejected
	case condition(s, state.CondScheduled) == state.StatusFalse:
		v.word = wordWaiting
	case backoff(s, now) > 0:
		v.word = wordFailing
	case available == state.StatusUnknown:
		v.word = wordUnknown
	default:
		v.word = wordStarting
	}
	v.next = next(s, v, now)
	return v
}

// backoff is how long until the role that waits longest is executed again.
func backoff(s *state.Status, now time.Time) time.Duration {
	var longest time.Duration
	for _, r := range s.Roles {
		if r.BackoffUntil != nil {
			longest = max(longest, r.BackoffUntil.Sub(now))
		}
	}
	return longest
}

// remedies say what happens next, or what to do, by the reason of the blocking
// condition.
var remedies = map[string]string{
	"InsufficientGPUs":  "starts by itself when enough GPUs are free; or scale another model down",
	"InsufficientCPUs":  "starts by itself when enough CPUs are free; or lower resources.cpus",
	"WaitingForNodes":   "starts by itself when nodes join the Ray cluster",
	"NoGPUNodes":        "add a GPU node to the Ray cluster; it starts by itself then",
	"TPDoesNotFit":      "lower tensor_parallel_size, or add nodes with more GPUs",
	"NoLabelledNodes":   "label the worker nodes (ray start --labels ray.io/node-type=worker), or unset excludeHeadNode",
	"PortConflict":      "free the port, or give the server another frontend.port",
	"PlacementTimeout":  "tried again by itself; see `dynctl events --type placement-failed`",
	"NotOwner":          "another store owns this Ray namespace: use another --ray-namespace, or stop that reconciler",
	"CuratorAlive":      "a Curator driver still serves under this name: end it, or name the server otherwise",
	"SweepingLeftovers": "starts by itself when the leftovers are gone",
	"AgentLost":         "see `dynctl doctor`: the agent's Ray job does not answer",
	"NoAgent":           "see `dynctl doctor`: the agent's Ray job is not there yet",
	"RendererChanged":   "runs on as it is; `dynctl restart` brings it up to date",
	"InfraStarting":     "starts by itself when etcd, NATS and the frontend run",
	"EtcdUnreachable":   "see `dynctl status server/NAME` and `dynctl logs server/NAME`; what serves goes on",
	"RolledBack":        "the previous generation serves; correct the spec with `dynctl set`",
	"DeletionHeld":      "`dynctl confirm-deletions SERVER` if it is meant, else set the models again",
	"RolloutStalled":    "correct the spec, or go back with `dynctl rollback`",
}

// next says what happens next, or what to do.
func next(s *state.Status, v verdict, now time.Time) string {
	switch {
	case v.word == wordSuspended:
		return "dynctl resume " + nameOf(s)
	case v.blocking == nil:
		return ""
	case v.blocking.Type == state.CondAccepted && v.word == wordStale:
		return fmt.Sprintf("correct it with `dynctl set`; revision %d runs on", s.AcceptedRevision)
	case v.blocking.Type == state.CondAccepted:
		return "correct it with `dynctl set`"
	}
	if text, ok := remedies[v.blocking.Reason]; ok {
		return text
	}
	if wait := backoff(s, now); wait > 0 {
		return "executed again in " + span(wait)
	}
	return ""
}

// nameOf is the object of a status as a person names it.
func nameOf(s *state.Status) string {
	return refOf(state.Key{Kind: s.Kind, Server: s.Server, Name: s.Name}).String()
}

// roleNames are the roles of a status in the order in which they start.
func roleNames(roles map[string]state.RoleStatus) []string {
	return slices.Sorted(maps.Keys(roles))
}

// workers counts ready and wanted workers: "2/2", or by role "decode 1/2, prefill 1/1".
func workers(roles map[string]state.RoleStatus) string {
	var parts []string
	for _, name := range roleNames(roles) {
		count := fmt.Sprintf("%d/%d", roles[name].Ready, roles[name].Desired)
		if len(roles) > 1 {
			count = name + " " + count
		}
		parts = append(parts, count)
	}
	return orDash(strings.Join(parts, ", "))
}

// routing is a resolved routing in words: "kv, KV events on".
func routing(r *state.RouterStatus) string {
	if r == nil {
		return "not resolved yet"
	}
	mode := r.Mode
	if mode == "" {
		return "round-robin (Dynamo's own)"
	}
	if mode == "kv" {
		mode += map[bool]string{true: ", KV events on", false: ", KV events off"}[r.KVEvents]
	}
	return mode
}

// coloured gives a verdict's word its colour.
func (p palette) coloured(word string) string {
	switch word {
	case wordServing:
		return p.good(word)
	case wordRejected, wordFailing:
		return p.bad(word)
	case wordSuspended, wordUnknown:
		return p.dim(word)
	}
	return p.warn(word)
}
