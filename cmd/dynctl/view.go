package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
)

// outlook is a verdict on a status with what happens next, or what to do.
type outlook struct {
	verdict.Verdict
	next string
}

func condition(s *state.Status, typ string) string {
	c, ok := s.Condition(typ)
	if !ok {
		return state.StatusUnknown
	}
	return c.Status
}

// judge reads a status as of now.
func judge(s *state.Status, now time.Time) outlook {
	v := outlook{Verdict: verdict.Judge(s, now)}
	v.next = next(v, s, now)
	return v
}

// remedies say what happens next, or what to do, by the reason of the blocking
// condition.
var remedies = map[string]string{
	"InsufficientGPUs":     "starts by itself when enough GPUs are free; or scale another model down",
	"InsufficientCPUs":     "starts by itself when enough CPUs are free; or lower resources.cpus",
	"WaitingForNodes":      "starts by itself when nodes join the Ray cluster",
	"NoGPUNodes":           "add a GPU node to the Ray cluster; it starts by itself then",
	"TPDoesNotFit":         "lower tensor_parallel_size, or add nodes with more GPUs",
	"NoLabelledNodes":      "label nodes (ray start --labels ray.io/node-type=worker), or change placement.nodeSelector or excludeHeadNode",
	"PortConflict":         "free the port, or give the server another frontend.port",
	"PlacementTimeout":     "tried again by itself; see `dynctl events --type placement-failed`",
	"NotOwner":             "another store owns this Ray namespace: use another --ray-namespace, or stop that reconciler",
	"CuratorAlive":         "a Curator driver still serves under this name: end it, or name the server otherwise",
	"SweepingLeftovers":    "starts by itself when the leftovers are gone",
	"AgentLost":            "see `dynctl doctor`: the agent's Ray job does not answer",
	"NoAgent":              "see `dynctl doctor`: the agent's Ray job is not there yet",
	"AgentFailing":         "mend what the message says; it goes on by itself. `dynctl doctor` names the job with the whole log",
	"RayClusterSuspended":  "starts again by itself once spec.suspend of the RayCluster is false",
	"RayClusterSuspending": "starts again by itself once spec.suspend of the RayCluster is false",
	"RayClusterNotFound":   "create the RayCluster or RayService, or correct --raycluster or --rayservice",
	"RayClusterNotReady":   "starts by itself when the head of the RayCluster is ready",
	"RayReplicaFailure":    "see kubectl describe raycluster; it goes on by itself once pods can be made",
	"KubernetesUnreadable": "mend what the message says; it goes on by itself",
	"RayUnreachable":       "start Ray, or see that its head is reached; it goes on by itself",
	"RayTokenMissing":      "mend what the message says; it goes on by itself",
	"RayTokenRefused":      "restart Ray's pods after a change of their token, or put the old one back; it goes on by itself",
	"RendererChanged":      "runs on as it is; `dynctl restart` brings it up to date",
	"InfraStarting":        "starts by itself when etcd, NATS and the frontend run",
	"EtcdUnreachable":      "see `dynctl status server/NAME` and `dynctl logs server/NAME`; what serves goes on",
	"RolledBack":           "the previous generation serves; correct the spec with `dynctl set`",
	"DeletionHeld":         "`dynctl confirm-deletions SERVER` if it is meant, else set the models again",
	"RolloutStalled":       "correct the spec, or go back with `dynctl rollback`",
}

// next says what happens next, or what to do.
func next(v outlook, s *state.Status, now time.Time) string {
	switch {
	case v.Word == verdict.Suspended:
		return "dynctl resume " + verdict.Ref(s)
	case v.Word == verdict.Zero:
		return "dynctl scale " + verdict.Ref(s) + " --replicas 1"
	case v.Blocking == nil:
		return ""
	case v.Blocking.Type == state.CondAccepted && v.Word == verdict.Stale:
		return fmt.Sprintf("correct it with `dynctl set`; revision %d runs on", s.AcceptedRevision)
	case v.Blocking.Type == state.CondAccepted:
		return "correct it with `dynctl set`"
	}
	if text, ok := remedies[v.Blocking.Reason]; ok {
		return strings.NewReplacer("server/NAME", "server/"+s.Server, "confirm-deletions SERVER", "confirm-deletions "+s.Server).Replace(text)
	}
	if !v.Until.IsZero() {
		return "executed again in " + prose.Span(v.Until.Sub(now))
	}
	return ""
}

// roleNames are the roles of a status in the order in which they start.
func roleNames(roles map[string]state.RoleStatus) []string {
	return slices.Sorted(maps.Keys(roles))
}

// workers counts ready and wanted workers: "2/2", or by role "decode 1/2, prefill 1/1"; "2?/2"
// where that was so when it was known last.
func workers(roles map[string]state.RoleStatus) string {
	var parts []string
	for _, name := range roleNames(roles) {
		count := verdict.Count(roles[name])
		if len(roles) > 1 {
			count = name + " " + count
		}
		parts = append(parts, count)
	}
	return prose.OrDash(strings.Join(parts, ", "))
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

// coloured is a verdict's word in its colour.
func (p palette) coloured(v verdict.Verdict) string {
	word := v.Shown()
	switch word {
	case verdict.Serving:
		return p.good(word)
	case verdict.Rejected, verdict.Failing:
		return p.bad(word)
	case verdict.Suspended, verdict.Zero, verdict.Deleting, verdict.Unknown:
		return p.dim(word)
	}
	return p.warn(word)
}
