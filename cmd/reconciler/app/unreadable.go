package app

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// maxTold bounds how many unreadable values wait to be told to the stream; what
	// comes beyond that is in the log alone.
	maxTold = 256
	// maxDiscards bounds how many are deleted in one round.
	maxDiscards = 64
	// foreignLeaseFor is for how long it is said that somebody wrote over the lease.
	foreignLeaseFor = 30 * time.Second
)

// setAside keeps what is known of unreadable values. Its methods are for the loop's
// goroutine, but for seen.
type setAside struct {
	// told holds the last revision that was logged, by bucket and key; pending is
	// what the stream is not told yet.
	told    map[[2]string]uint64
	pending []kv.Unreadable
	now     atomic.Pointer[setAsideView]
}

// setAsideView is what others may look at.
type setAsideView struct {
	values []kv.Unreadable // that stand in the buckets now
	// lease is what was last written over the lease, and when that was seen.
	lease   kv.Unreadable
	leaseAt time.Time
}

func (s *setAside) seen() setAsideView {
	if v := s.now.Load(); v != nil {
		return *v
	}
	return setAsideView{}
}

// lookForUnreadable names what was set aside since the last round, once a revision.
func (l *loop) lookForUnreadable(now time.Time) {
	s, a := &l.app.setAside, l.app
	view := s.seen()
	view.values = slices.Concat(a.views.Unreadable(), a.elector.Unreadable())
	if s.told == nil {
		s.told = map[[2]string]uint64{}
	}
	standing := map[[2]string]bool{}
	for _, u := range view.values {
		standing[[2]string{u.Bucket, u.Key}] = true
	}
	for _, u := range slices.Concat(a.views.FoundUnreadable(), a.elector.FoundUnreadable(), view.values) {
		if u.OfTheLease() {
			view.lease, view.leaseAt = u, now
		}
		key := [2]string{u.Bucket, u.Key}
		if s.told[key] == u.Revision {
			continue
		}
		s.told[key] = u.Revision
		a.log.Warn("a value cannot be read and is set aside", "bucket", u.Bucket, "key", u.Key, "revision", u.Revision, "because", u.Why)
		if len(s.pending) < maxTold {
			s.pending = append(s.pending, u)
		}
	}
	if len(s.told) > 4*maxTold { // those that are gone are forgotten
		for key := range s.told {
			if !standing[key] {
				delete(s.told, key)
			}
		}
	}
	s.now.Store(&view)
}

// tellUnreadable tells the stream what was set aside.
func (l *loop) tellUnreadable(term kv.Term) {
	for _, u := range l.app.setAside.pending {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %s", u.Key, u.At.UTC().Format(time.RFC3339Nano))
		e := events.Event{
			// The same from whoever tells it: one reconciler after another may.
			ID:   fmt.Sprintf("%s-%s-%x-%d", events.TypeValueUnreadable, u.Bucket, h.Sum64(), u.Revision),
			Type: events.TypeValueUnreadable, Object: subjectToken(u.Key),
			Data: events.Data{Epoch: term.Epoch, Reason: "ValueUnreadable", Message: u.String()},
		}
		if key, err := state.ParseKey(u.Key); err == nil {
			e.Data.Server, e.Data.Model = key.Server, key.Name
		}
		l.effects.fact(e)
	}
	l.app.setAside.pending = nil
}

// discard deletes what stands in the reconciler's own buckets and is nobody's: keys
// that name no object, and values of objects that no spec asks for. Those of objects
// that there are get written over with their status, the lease with the lease.
func (l *loop) discard(ctx context.Context, written map[string]bool) {
	n := 0
	for _, u := range l.app.setAside.seen().values {
		ours := u.Bucket == kv.BucketStatus && u.Key != "store.id" && !written[u.Key] || u.Bucket == kv.BucketLease && !u.OfTheLease()
		if !ours {
			continue
		}
		if n++; n > maxDiscards {
			return
		}
		switch err := l.effects.discard(ctx, u); {
		case err == nil:
			l.app.log.Warn("an unreadable value that is nobody's was deleted", "bucket", u.Bucket, "key", u.Key, "revision", u.Revision)
		case errors.Is(err, kv.ErrConflict): // it is another value by now
		default:
			l.app.log.Warn("an unreadable value was not deleted; it is tried again", "key", u.Key, "err", err)
		}
	}
}

// unreadableStatuses are the revisions of what stands in the place of statuses.
func (l *loop) unreadableStatuses() map[string]uint64 {
	out := map[string]uint64{}
	for _, u := range l.app.setAside.seen().values {
		if u.Bucket == kv.BucketStatus {
			out[u.Key] = u.Revision
		}
	}
	return out
}
