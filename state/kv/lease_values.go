package kv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// headerTTL is on every lease: one that does not expire is none.
const headerTTL = jetstream.MsgTTLHeader

// maxHolder bounds the name of a reconciler, which is shown.
const maxHolder = 256

// parseLease reads the value of the leader key as a reconciler writes it; last is
// the highest epoch that is known, 0 where none is.
func parseLease(e entry, last uint64) (Lease, error) {
	var l Lease
	if err := decodeObject(e.value, maxObserved, &l); err != nil {
		return Lease{}, err
	}
	switch {
	case l.Holder == "" || len(l.Holder) > maxHolder:
		return Lease{}, fmt.Errorf("holder %.40q; want the name of a reconciler", l.Holder)
	case l.Epoch == 0:
		return Lease{}, errors.New("epoch is 0; they count from 1")
	case l.LastsMS < 0 || l.LastsMS > LeaseTTL.Milliseconds():
		return Lease{}, fmt.Errorf("lastsMs %d; want %d at the most", l.LastsMS, LeaseTTL.Milliseconds())
	case e.header.Get(headerTTL) == "":
		return Lease{}, fmt.Errorf("it says that %.40q leads, and would never expire; no reconciler wrote it", l.Holder)
	}
	return l, state.CheckCounter("epoch", l.Epoch, last)
}

// parseEpoch reads the counter of epochs; 0 where there is none.
func parseEpoch(e entry, last uint64) (uint64, error) {
	if e.deleted || e.rev == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(e.value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no epoch", e.value)
	}
	return n, state.CheckCounter("epoch", n, last)
}

// parse reads what stands in the lease bucket, for the mirror.
func (e *Elector) parse(x entry) (none struct{}, err error) {
	err = checkLeaseEntry(x, e.known())
	if err == nil && x.key == keyLeader && !expired(x.header) {
		e.mu.Lock()
		e.heard = time.Now()
		e.mu.Unlock()
	}
	return none, err
}

// lastHeard is when the watch last delivered a lease.
func (e *Elector) lastHeard() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

func (e *Elector) setLeader(l *Lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leader = nil
	if l != nil {
		seen := *l // the caller changes its own with each renewal
		e.leader = &seen
		e.highest = max(e.highest, l.Epoch)
	}
}

func checkLeaseEntry(e entry, last uint64) (err error) {
	if expired(e.header) {
		return nil // nobody has written it
	}
	switch e.key {
	case keyLeader:
		_, err = parseLease(e, last)
	case keyEpoch:
		_, err = parseEpoch(e, last)
	case keyRestoring: // [restoring] reads it
	default:
		err = errForeignKey
	}
	return err
}

// known is the highest epoch that is known, 0 where none is. The agent's word counts
// most: it refuses what is too far above the last it has heard, so what the store
// says beyond that leads nowhere.
func (e *Elector) known() uint64 {
	seen := e.opts.Seen()
	e.mu.Lock()
	defer e.mu.Unlock()
	if state.CheckCounter("epoch", e.highest, seen) != nil {
		return seen
	}
	return max(seen, e.highest)
}

// Unreadable names what stands in the lease bucket now and cannot be read.
func (e *Elector) Unreadable() []Unreadable { return e.bucket.setAside() }

// FoundUnreadable are the values that were set aside since it was last asked; those
// of the lease itself have been written over since, as a rule.
func (e *Elector) FoundUnreadable() []Unreadable { return e.bucket.takeFound() }

// OfTheLease reports whether a value stood in the place of the lease or its counter.
func (u Unreadable) OfTheLease() bool {
	return u.Bucket == BucketLease && (u.Key == keyLeader || u.Key == keyEpoch)
}

// GetLeader reads the lease; [ErrNotFound] when nobody holds it, an
// [UnreadableError] where what stands there is none.
func (c *Client) GetLeader(ctx context.Context) (Lease, error) {
	e, err := last(ctx, c.js, BucketLease, keyLeader)
	if err == nil && e.deleted {
		err = ErrNotFound
	}
	if err != nil {
		return Lease{}, wrap("leader", err)
	}
	l, err := parseLease(e, 0)
	if err != nil {
		return Lease{}, wrap("leader", c.instead(BucketLease, e, err))
	}
	return l, nil
}
