package kv

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

const (
	keyLeader = "leader"
	// keyEpoch holds the last epoch that was given out. It has no TTL: the lease
	// itself is gone after a crash, and its counter with it.
	keyEpoch = "epoch"

	// LeaseTTL is how long a lease lives at the most that is not renewed.
	LeaseTTL = 3 * time.Second
	// LeaseShort is how long it lives where a standby waits for it and the store is quick.
	LeaseShort = 1200 * time.Millisecond
	// LeaseRenew is how often one of LeaseTTL is renewed.
	LeaseRenew = LeaseTTL / 3
	// leaseTry is how long one request is waited for where the store is quick.
	leaseTry = 800 * time.Millisecond
)

// What follows from how long a lease lasts: how often it is renewed; how often once
// somebody has written over it; how long one renewal is tried, so that it can be tried
// again in time; and how long before its end the holder steps down.
//
// Whoever writes over the lease in step with the renewals would leave it so short each
// time that no standby hears of it before it is gone; in the step of a contested one it
// stands long enough at least once a lease.
func renewEvery(lasts time.Duration) time.Duration     { return lasts / 3 }
func contestedRenew(lasts time.Duration) time.Duration { return lasts / 10 }
func renewTry(lasts time.Duration) time.Duration       { return lasts * 2 / 5 }
func leaseMargin(lasts time.Duration) time.Duration    { return lasts / 6 }

// Lease is the value of the leader key.
type Lease struct {
	Holder string    `json:"holder"`
	Epoch  uint64    `json:"epoch"`
	Since  time.Time `json:"since"` // on the holder's clock
	// Version is that of the holder's program; empty: it does not tell.
	Version string `json:"version,omitempty"`
	// LastsMS is for how many milliseconds this revision of the lease is respected; 0: for
	// LeaseTTL, in what an earlier version wrote.
	LastsMS int64 `json:"lastsMs,omitempty"`
	// Server is the id of the NATS server through which the holder answers standbys on the
	// subject of its term; empty: it does not.
	Server string `json:"server,omitempty"`
	// AgentFailure is why the holder finds no agent that stays; nil while there is one.
	AgentFailure *state.AgentFailure `json:"agentFailure,omitempty"`
	// RayNotice is what somebody should look at in the Ray cluster; nil: nothing.
	RayNotice *state.RayNotice `json:"rayNotice,omitempty"`
	// Standby is the agent that is to wait beside the one in charge; nil: none is to.
	Standby *state.StandbyAgent `json:"standbyAgent,omitempty"`
}

// lasts is for how long this revision of the lease is respected.
func (l Lease) lasts() time.Duration {
	if l.LastsMS == 0 {
		return LeaseTTL
	}
	return time.Duration(l.LastsMS) * time.Millisecond
}

// Term is one leadership.
type Term struct {
	// Epoch is above that of every earlier term.
	Epoch uint64
	// Ctx ends with the term, before anybody else can begin one.
	Ctx  context.Context
	held *holding
}

// Held reports whether this reconciler may act: the lease still runs by the monotonic
// clock, and the connection to NATS is the one on which it was renewed last. A process
// that was paused may ask before its Ctx has had the time to end, and one that was
// disconnected may have lost the lease meanwhile: ask before each command. It may hold
// again in the same term, after a renewal over a new connection.
func (t Term) Held() bool { return t.Ctx != nil && t.Ctx.Err() == nil && t.held.now() }

// Acting is for what is done in the term: it ends with the term and with the connection,
// over which no answer comes any more.
func (t Term) Acting() context.Context { return t.held.acting() }

// holding is until when a lease is held, and over which connection.
type holding struct {
	nc    *nats.Conn
	mu    sync.Mutex
	until time.Time // with a monotonic reading
	over  link
	acts  context.Context // until the term or the connection ends
	stop  context.CancelFunc
}

// begin makes the context of what is done in a term.
func (h *holding) begin(term context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acts, h.stop = context.WithCancel(term)
}

// follow ends what is being done whenever the connection ends, until the term does.
func (h *holding) follow(term context.Context) {
	ends := h.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer h.nc.RemoveStatusListener(ends)
	for {
		select {
		case <-ends:
			h.stopActing()
			h.begin(term)
		case <-term.Done():
			h.stopActing()
			return
		}
	}
}

func (h *holding) stopActing() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop()
}

func (h *holding) acting() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acts
}

func (h *holding) now() bool {
	h.mu.Lock()
	until, over := h.until, h.over
	h.mu.Unlock()
	return time.Until(until) > 0 && over.server != "" && over == linkOf(h.nc)
}

func (h *holding) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.until)
}

// promise is called before a renewal is sent: it may be read from then on, and its sender
// may never hear that it was stored.
func (h *holding) promise(lasts time.Duration) {
	until := time.Now().Add(lasts - leaseMargin(lasts))
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.Before(h.until) {
		h.until = until
	}
}

// extend is called when a renewal has been stored. It counts from before the request was
// sent: the store cannot have seen it earlier.
func (h *holding) extend(sent time.Time, lasts time.Duration, over link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until, h.over = sent.Add(lasts-leaseMargin(lasts)), over
}
