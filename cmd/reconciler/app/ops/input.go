package ops

import (
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// Input is one moment of the reconciler. It is only read.
type Input struct {
	Now time.Time
	// ID is this reconciler, Version the program's.
	ID, Version string
	Leader      Leader
	// Missing is what keeps specs from being carried out, one line each.
	Missing []string
	// Degraded is what somebody should look at although specs are carried out.
	Degraded []string
	// NATSURL is where dynctl finds the spec store; empty where it holds a password.
	NATSURL string
	Agent   *state.Agent // nil: none was ever heard of
	// AgentFailure is why no agent stays; nil while one does.
	AgentFailure *state.AgentFailure
	// StandsBy: another agent waits to take over.
	StandsBy bool
	// Loaded: the specs are known. Observed: what runs in Ray is.
	Loaded, Observed bool
	StoreID          string

	Statuses []*state.Status
	Specs    map[string]Spec // by the key of the status
	Units    []*state.Unit
	Nodes    []state.Node
	Waits    []actors.Wait
	Orphans  []actors.Orphan
}

// Leader is who acts.
type Leader struct {
	// Known is false while nobody holds the lease.
	Known  bool
	Mine   bool
	Holder string
	Epoch  uint64
	Since  time.Time
}

// Spec is what a card shows of an accepted model.
type Spec struct {
	ServedName string
	Engine     string
	Mode       string
	GPUs       int // of one worker
}
