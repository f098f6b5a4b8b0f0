package kv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

// lead holds the lease until it is lost or ctx ends.
func (e *Elector) lead(ctx context.Context, rev uint64, l Lease, held *holding) {
	termCtx, end := context.WithCancel(ctx)
	defer end()
	e.setLeader(&l)
	e.opts.Log.Info("leading", "epoch", l.Epoch)
	e.announce(Term{Epoch: l.Epoch, Ctx: termCtx, held: held})
	// The timer ends the term even while a renewal hangs.
	expiry := time.AfterFunc(held.left(), end)
	defer expiry.Stop()
	next, every := time.NewTimer(LeaseRenew), LeaseRenew
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-termCtx.Done():
			end()
			if ctx.Err() == nil {
				e.opts.Log.Warn("lease ran out", "epoch", l.Epoch)
			}
			e.release(rev, l)
			return
		}
		if seen := e.opts.Seen(); seen > l.Epoch || state.CheckCounter("epoch", l.Epoch, seen) != nil {
			// The agent has heard of another epoch and takes no command of this one.
			e.opts.Log.Warn("the agent refuses this epoch; another term begins", "epoch", l.Epoch, "agent", seen)
			end()
			e.release(rev, l)
			return
		}
		l.AgentFailure, l.RayNotice = e.opts.AgentFailure(), e.opts.RayNotice()
		sent := time.Now()
		try, cancel := context.WithTimeout(termCtx, leaseTry)
		newRev, err := e.write(try, l, rev)
		cancel()
		switch {
		case err == nil:
			next.Reset(every)
			rev, every = newRev, min(every*5/4, LeaseRenew)
			held.extend(sent)
			if !expiry.Stop() {
				continue // it has fired: the term is over
			}
			expiry.Reset(held.left())
		case isCode(err, codeWrongSequence), isCode(err, codeWrongSequenceConstant):
			// Another holder, or our own renewal whose answer was lost.
			switch stored, ok, unread := e.mine(termCtx, l); {
			case unread != nil: // until the lease has run out, the term goes on
				e.opts.Log.Warn("lease not renewed, and whose it is cannot be read", "epoch", l.Epoch, "error", unread)
				next.Reset(LeaseRenew / 5)
			case ok:
				rev, every = stored, contestedRenew
				next.Reset(0)
			default:
				e.opts.Log.Warn("lease lost", "epoch", l.Epoch)
				return
			}
		default:
			e.opts.Log.Warn("lease not renewed", "epoch", l.Epoch, "error", err)
			next.Reset(LeaseRenew / 5)
		}
	}
}

// mine is the revision of the lease of this term in the store, or of something that
// is no lease in its place, which is to be written over; false: it is another's, or gone.
// An error leaves that open.
func (e *Elector) mine(ctx context.Context, l Lease) (uint64, bool, error) {
	try, cancel := context.WithTimeout(ctx, leaseTry)
	defer cancel()
	entry, err := last(try, e.js, BucketLease, keyLeader)
	switch {
	case isNotFound(err), err == nil && entry.deleted:
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	stored, err := parseLease(entry, e.known())
	if err != nil {
		e.opts.Log.Warn("somebody wrote over the lease; it is written again", "epoch", l.Epoch, "because", err)
		return entry.rev, true, nil
	}
	return entry.rev, stored.Holder == l.Holder && stored.Epoch == l.Epoch, nil
}

func (e *Elector) announce(t Term) {
	select {
	case <-e.terms: // one that nobody took
	default:
	}
	e.terms <- t
}

// release deletes the lease of a term, known at a revision, so that a standby
// takes over at once.
func (e *Elector) release(rev uint64, l Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTry)
	defer cancel()
	err := e.delete(ctx, rev)
	if isCode(err, codeWrongSequence) || isCode(err, codeWrongSequenceConstant) {
		// The end of the term may have cut off the answer to a renewal.
		if mine, ok, _ := e.mine(ctx, l); ok {
			err = e.delete(ctx, mine)
		}
	}
	if err != nil {
		e.opts.Log.Warn("lease not released: it expires by itself", "error", err)
	}
	e.setLeader(nil)
}

// delete removes the lease if it is still at the revision given.
func (e *Elector) delete(ctx context.Context, rev uint64) error {
	_, err := publish(ctx, e.js, write{
		bucket: BucketLease, key: keyLeader, ifRev: &rev,
		header: nats.Header{headerOperation: []string{opDelete}},
	})
	return err
}
