package kv

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

// lead holds the lease until it is lost or ctx ends.
func (e *Elector) lead(ctx context.Context, rev uint64, l Lease, held *holding) {
	termCtx, end := context.WithCancel(ctx)
	r := &reign{e: e, lease: l, rev: rev, held: held, presence: newPresence(e.js.Conn(), e.opts.ID, l.Epoch), every: renewEvery(l.lasts())}
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end()
	beside.Go(func() { r.presence.run(termCtx) })
	held.begin(termCtx)
	beside.Go(func() { held.follow(termCtx) })
	e.setLeader(&l)
	e.opts.Log.Info("leading", "epoch", l.Epoch)
	e.announce(Term{Epoch: l.Epoch, Ctx: termCtx, held: held})
	// The timer ends the term even while a renewal hangs.
	r.expiry = time.AfterFunc(held.left(), end)
	defer r.expiry.Stop()
	// The time that the first write took counts, as it does in renew.
	next := time.NewTimer(r.every - l.lasts() + leaseMargin(l.lasts()) + held.left())
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-r.presence.news:
		case <-termCtx.Done():
			if ctx.Err() == nil {
				e.opts.Log.Warn("lease ran out", "epoch", l.Epoch)
			}
			e.release(r.rev, l)
			return
		}
		if seen := e.opts.Seen(); seen > l.Epoch || state.CheckCounter("epoch", l.Epoch, seen) != nil {
			// The agent has heard of another epoch and takes no command of this one.
			e.opts.Log.Warn("the agent refuses this epoch; another term begins", "epoch", l.Epoch, "agent", seen)
			end()
			e.release(r.rev, l)
			return
		}
		again, lost := r.renew(termCtx)
		if lost {
			e.opts.Log.Warn("lease lost", "epoch", l.Epoch)
			return
		}
		next.Reset(again)
	}
}

// reign is a term as its holder keeps it.
type reign struct {
	e        *Elector
	lease    Lease
	rev      uint64 // of the last renewal that succeeded
	held     *holding
	expiry   *time.Timer // ends the term
	presence *presence
	every    time.Duration // how often the lease is renewed
	failing  bool          // the last renewal failed
}

// renew writes the lease again, and says when the next time is due; lost: somebody else
// holds it, or nobody.
func (r *reign) renew(ctx context.Context) (again time.Duration, lost bool) {
	e, l := r.e, &r.lease
	over := linkOf(e.js.Conn())
	lasts := e.pace.lasts(r.presence.awaited())
	l.LastsMS, l.Server = lasts.Milliseconds(), r.presence.server(over)
	l.AgentFailure, l.RayNotice = e.opts.AgentFailure(), e.opts.RayNotice()
	l.Standby = e.opts.Standby()
	r.held.promise(lasts)
	if !r.ends() {
		return 0, false
	}
	sent := time.Now()
	try, cancel := context.WithTimeout(r.held.acting(), renewTry(lasts))
	rev, err := e.write(try, *l, r.rev)
	cancel()
	e.pace.took(time.Since(sent), time.Now())
	switch {
	case err == nil:
		again = max(0, min(r.every, renewEvery(lasts))-time.Since(sent))
		if e.pace.lasts(r.presence.awaited()) > lasts {
			again = 0 // the store has become slower than this lease allows for
		}
		r.rev, r.every, r.failing = rev, min(r.every*5/4, renewEvery(LeaseTTL)), false
		r.held.extend(sent, lasts, over)
		r.ends()
		return again, false
	case isCode(err, codeWrongSequence), isCode(err, codeWrongSequenceConstant):
		// Another holder, or our own renewal whose answer was lost.
		stored, ok, unread := e.mine(ctx, *l)
		if unread == nil && !ok {
			return 0, true
		}
		if ok {
			r.rev, r.every = stored, contestedRenew(lasts)
			return 0, false
		}
		err = fmt.Errorf("whose it is cannot be read: %w", unread) // until the lease has run out, the term goes on
	}
	if !r.failing {
		r.failing = true
		e.opts.Log.Warn("lease not renewed", "epoch", l.Epoch, "error", err)
	}
	return lasts / 15, false
}

// ends has the term end when the lease is over, and reports whether it goes on till then.
func (r *reign) ends() bool {
	if !r.expiry.Stop() {
		return false // it has ended
	}
	r.expiry.Reset(r.held.left())
	return true
}

// mine is the revision of the lease of this term in the store, or of something that
// is no lease in its place, which is to be written over; false: it is another's, or gone.
// An error leaves that open.
func (e *Elector) mine(ctx context.Context, l Lease) (uint64, bool, error) {
	entry, err := e.last(ctx, keyLeader)
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
	ctx := context.Background()
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
	return e.answers.ask(ctx, func(ctx context.Context) error {
		_, err := publish(ctx, e.js, write{
			bucket: BucketLease, key: keyLeader, ifRev: &rev,
			header: nats.Header{headerOperation: []string{opDelete}},
		})
		return err
	})
}
