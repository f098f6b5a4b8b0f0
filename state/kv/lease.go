package kv

import (
	"context"
	"sync"
	"time"

	"dynctl/state"
)

const (
	keyLeader = "leader"
	// keyEpoch holds the last epoch that was given out. It has no TTL: the lease
	// itself is gone after a crash, and its counter with it.
	keyEpoch = "epoch"

	// LeaseTTL is how long a lease lives that is not renewed.
	LeaseTTL = 3 * time.Second
	// LeaseRenew is how often it is renewed.
	LeaseRenew = time.Second
	// contestedRenew is how often, once somebody has written over it. Whoever does that
	// in step with the renewals would leave it so short each time that no standby hears of
	// it before it is gone; in this step it stands long enough at least once a lease.
	contestedRenew = LeaseRenew * 3 / 10
	// leaseMargin is how long before the end of its lease a leader steps down.
	leaseMargin = 500 * time.Millisecond
	// leaseTry bounds one request, so that a renewal can be tried again in time.
	leaseTry = 800 * time.Millisecond
)

// Lease is the value of the leader key.
type Lease struct {
	Holder string    `json:"holder"`
	Epoch  uint64    `json:"epoch"`
	Since  time.Time `json:"since"` // on the holder's clock
	// Version is that of the holder's program; empty: it does not tell.
	Version string `json:"version,omitempty"`
	// AgentFailure is why the holder finds no agent that stays; nil while there is one.
	AgentFailure *state.AgentFailure `json:"agentFailure,omitempty"`
	// RayNotice is what somebody should look at in the Ray cluster; nil: nothing.
	RayNotice *state.RayNotice `json:"rayNotice,omitempty"`
}

// Term is one leadership.
type Term struct {
	// Epoch is above that of every earlier term.
	Epoch uint64
	// Ctx ends with the term, before anybody else can begin one.
	Ctx  context.Context
	held *holding
}

// Held says by the monotonic clock that the lease still runs. A process that was
// paused may ask before its Ctx has had the time to end: ask before each command.
func (t Term) Held() bool { return t.Ctx != nil && t.Ctx.Err() == nil && t.held.left() > 0 }

// holding is until when a lease is held.
type holding struct {
	mu    sync.Mutex
	until time.Time // with a monotonic reading
}

func (h *holding) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.until)
}

// extend counts from before the request was sent: the store cannot have seen it
// earlier.
func (h *holding) extend(sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = sent.Add(LeaseTTL - leaseMargin)
}
