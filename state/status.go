package state

import (
	"encoding/json"
	"time"
)

// Status is the value of a key in the status bucket, written by the reconciler
// alone.
type Status struct {
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	Server string `json:"server"`
	Name   string `json:"name,omitempty"`

	// ObservedRevision is the revision of the spec entry that this status speaks of.
	ObservedRevision uint64 `json:"observedRevision"`
	// AcceptedRevision is the revision that runs; 0 when none was ever accepted.
	AcceptedRevision uint64 `json:"acceptedRevision"`
	// ObservedIn and AcceptedIn are when the spec bucket was made that these revisions
	// are of: in another one, equal numbers mean nothing.
	ObservedIn time.Time `json:"observedIn,omitzero"`
	AcceptedIn time.Time `json:"acceptedIn,omitzero"`
	Generation string    `json:"generation,omitempty"`
	// DeletionBlocked is the revision of the delete marker that waits for
	// dynctl confirm-deletions; 0 when none does.
	DeletionBlocked uint64 `json:"deletionBlocked,omitempty"`

	Conditions []Condition           `json:"conditions"`
	Roles      map[string]RoleStatus `json:"roles,omitempty"` // by role; "aggregated" where there is none
	Router     *RouterStatus         `json:"router,omitempty"`
	// RoutedBy are the models that the answer of a server's routing was made from.
	RoutedBy []string `json:"routedBy,omitempty"`
	// RouterApplied is the routing that runs: on a server its frontend's, on a model
	// that of its own workers; empty where they carry none.
	RouterApplied string `json:"routerApplied,omitempty"`
	// Endpoint is the OpenAI base URL.
	Endpoint   string            `json:"endpoint,omitempty"`
	Placements []PlacementStatus `json:"placements,omitempty"`

	// AcceptedSpec is the accepted document as it was written.
	AcceptedSpec json.RawMessage `json:"acceptedSpec,omitempty"`
	// Template is what was rendered from it, for the planner alone.
	Template json.RawMessage `json:"template,omitempty"`

	// Revision is the revision of the status entry; not stored in it.
	Revision uint64 `json:"-"`
}

// SameBucket reports whether two revisions may be compared by the times at which their
// buckets were made; one that does not say is from before it was noted.
func SameBucket(a, b time.Time) bool { return a.IsZero() || b.IsZero() || a.Equal(b) }

// Condition is one aspect of an object. All types are of positive polarity.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"` // True | False | Unknown
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// Statuses of a condition.
const (
	StatusTrue    = "True"
	StatusFalse   = "False"
	StatusUnknown = "Unknown"
)

// Types of conditions.
const (
	CondAccepted     = "Accepted"
	CondScheduled    = "Scheduled"
	CondWorkersReady = "WorkersReady"
	CondPrefillReady = "PrefillReady"
	CondDecodeReady  = "DecodeReady"
	CondRegistered   = "Registered"
	CondRouterReady  = "RouterReady"
	CondReady        = "Ready"
	CondAvailable    = "Available"
	CondUpToDate     = "UpToDate"
	CondSuspended    = "Suspended"
)

// RoleStatus counts the workers of one role.
type RoleStatus struct {
	Desired      int         `json:"desired"`
	Running      int         `json:"running"`
	Ready        int         `json:"ready"`
	Updated      int         `json:"updated"`
	Restarts     int         `json:"restarts"`
	BackoffUntil *time.Time  `json:"backoffUntil,omitempty"`
	LastExit     *ExitStatus `json:"lastExit,omitempty"`
	// LastKnown: the counts are the last that were known, since what tells them does not
	// answer; the conditions say what that is.
	LastKnown bool `json:"lastKnown,omitempty"`
}

// ExitStatus is the last exit of a role's workers.
type ExitStatus struct {
	Unit    string    `json:"unit"`
	Code    int       `json:"code"`
	Reason  string    `json:"reason"`
	Cause   string    `json:"cause,omitempty"`   // what the log says ended it, one line
	Hint    string    `json:"hint,omitempty"`    // what to do about the cause, where that is known
	LogTail string    `json:"logTail,omitempty"` // headed by the cause; at most 8 KiB
	At      time.Time `json:"at"`
}

// RouterStatus is the routing in force and why.
type RouterStatus struct {
	Mode     string `json:"mode"` // empty: Dynamo's own round-robin
	KVEvents bool   `json:"kvEvents"`
	Source   string `json:"source"`  // auto | server | model
	Because  string `json:"because"` // one sentence, naming the models that caused it
}

// PlacementStatus is where one unit stands.
type PlacementStatus struct {
	Unit           string `json:"unit"`
	Generation     string `json:"generation,omitempty"`
	State          string `json:"state"`
	Node           string `json:"node,omitempty"`
	PlacementGroup string `json:"placementGroup"`
}

// Condition returns the condition of a type.
func (s *Status) Condition(typ string) (Condition, bool) {
	for _, c := range s.Conditions {
		if c.Type == typ {
			return c, true
		}
	}
	return Condition{}, false
}
