// Package events is what happened: the vocabulary of the stream DYNCTL_EVENTS,
// its publisher and its consumers. Every event is a CloudEvents 1.0 JSON
// document. Commands (start, stop, sweep) are consumed by the Ray-side agent;
// all other types are facts.
//
// It imports no other package of this module.
package events

import (
	"encoding/json"
	"strings"
	"time"
)

// Stream and subjects.
const (
	Stream        = "DYNCTL_EVENTS"
	SubjectPrefix = "dynctl.events"
	// ClusterServer stands in a subject where an event concerns no server.
	ClusterServer = "_cluster"
)

// Types of events: the commands.
const (
	TypeStart = "start"
	TypeStop  = "stop"
	TypeSweep = "sweep"
)

// Types of events: the facts.
const (
	TypeSpecAccepted      = "spec-accepted"
	TypeSpecRejected      = "spec-rejected"
	TypeSpecDeleted       = "spec-deleted"
	TypePlan              = "plan"
	TypePlacementCreated  = "placement-created"
	TypePlacementFailed   = "placement-failed"
	TypeUnitStarted       = "unit-started"
	TypeUnitReady         = "unit-ready"
	TypeUnitExited        = "unit-exited"
	TypeUnitStopped       = "unit-stopped"
	TypeUnitBackoff       = "unit-backoff"
	TypeOrphanFound       = "orphan-found"
	TypeOrphanSwept       = "orphan-swept"
	TypeRouterResolved    = "router-resolved"
	TypeRouterApplied     = "router-applied"
	TypeRolloutStarted    = "rollout-started"
	TypeRolloutCompleted  = "rollout-completed"
	TypeRolloutStalled    = "rollout-stalled"
	TypeRolloutSuperseded = "rollout-superseded"
	TypeLeaderElected     = "leader-elected"
	TypeLeaderLost        = "leader-lost"
	TypeAgentConnected    = "agent-connected"
	TypeAgentLost         = "agent-lost"
	TypeDeletionBlocked   = "deletion-blocked"
	TypeValueUnreadable   = "value-unreadable"
)

// Event is one event before it is a CloudEvent.
type Event struct {
	// ID is the CloudEvents id and the JetStream message id; repeats within the
	// stream's duplicate window are dropped.
	ID     string
	Type   string
	Source string // "dynctl/reconciler/<id>" or "dynctl/agent/<incarnation>"
	// Object ends the subject and may hold dots: the unit, the model or the server.
	Object string
	Time   time.Time
	Data   Data
	// TraceParent is the W3C trace context that the event belongs to, as the
	// CloudEvents extension traceparent; empty: none.
	TraceParent string
	// Sequence is the position in the stream; set when read.
	Sequence uint64
}

// Data is the CloudEvents data of every event.
type Data struct {
	Server       string          `json:"server"`
	Model        string          `json:"model"`
	Unit         string          `json:"unit"`
	Generation   string          `json:"generation"`
	SpecRevision uint64          `json:"specRevision"`
	Epoch        uint64          `json:"epoch"`
	CauseID      string          `json:"causeId"`
	Reason       string          `json:"reason"`
	Message      string          `json:"message"`
	Command      json.RawMessage `json:"command,omitempty"`
	// Detail holds what only one type has: the exit of unit-exited, the answer of
	// router-resolved.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// Subject is the subject that an event is published on.
func (e Event) Subject() string {
	server := e.Data.Server
	if server == "" {
		server = ClusterServer
	}
	object := e.Object
	if object == "" {
		object = server
	}
	return strings.Join([]string{SubjectPrefix, server, e.Type, object}, ".")
}

// IsCommand reports whether the type is one that the agent carries out.
func IsCommand(typ string) bool {
	return typ == TypeStart || typ == TypeStop || typ == TypeSweep
}
