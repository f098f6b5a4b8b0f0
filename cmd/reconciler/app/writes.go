package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// statusWriters is how many of one round's statuses are written at once, each of which
	// waits for the store, and how many the next round does not wait for.
	statusWriters = 16
	// lotWriters is how many lots of many are: while the store has one, the next is made.
	lotWriters = 2
)

// writes are the statuses that are on their way to the store. A few of them hold no round
// up: until one is stored, rounds rest on what is stored, as they do after a write that
// failed. What is concluded of its object meanwhile is not written, and where it records
// what commands rest on, which most do not, not commanded either: no command runs ahead of
// the record of what it rests on. All but landed is the loop's alone.
type writes struct {
	under map[string]*underWay // by key
	term  int                  // what was written in an earlier one is nobody's any more

	wg     sync.WaitGroup
	mu     sync.Mutex
	landed []*underWay
	signal chan struct{} // something has landed
}

// underWay is one status on its way.
type underWay struct {
	status state.Status
	// records: commands rest on what it says otherwise than what is stored.
	records bool
	now     time.Time // of the round that wrote it
	term    int
	// more: something waits for its end, so a round is due then.
	more bool

	revision uint64
	err      error
}

func newWrites() *writes {
	return &writes{under: map[string]*underWay{}, signal: make(chan struct{}, 1)}
}

// holds reports whether the status of an object is on its way, and has a round follow that.
func (w *writes) holds(k state.Key) bool {
	u := w.under[k.String()]
	if u == nil {
		return false
	}
	u.more = true
	return true
}

// holdsCommands reports whether what commands rest on of an object is on its way to its
// status, and has a round follow that.
func (w *writes) holdsCommands(k state.Key) bool {
	if len(w.under) == 0 {
		return false
	}
	u := w.under[k.String()]
	return u != nil && u.records && w.holds(k)
}

// covers reports whether the status of an object is on its way. One that says more than
// that is due once it is stored.
func (w *writes) covers(planned state.Status) bool {
	u := w.under[planned.Key]
	if u == nil {
		return false
	}
	planned.Conditions = slices.Clone(planned.Conditions)
	for i := range planned.Conditions { // which will be said to have changed when it was first seen
		c := &planned.Conditions[i]
		if was, ok := u.status.Condition(c.Type); ok && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	u.more = u.more || !equalStatus(u.status, planned)
	return true
}

// forget is for a new term.
func (w *writes) forget() {
	w.term++
	clear(w.under)
}

// putAll writes statuses, and says what has become of each.
type putAll func(statuses []state.Status) []kv.Put

// begin writes statuses, of objects of which none is on its way; inForce are those before.
func (w *writes) begin(now time.Time, statuses []state.Status, inForce map[state.Key]state.Status, put putAll) {
	var records, tell []*underWay
	for _, s := range statuses {
		u := &underWay{status: s, records: recordsMore(inForce, s), now: now, term: w.term}
		w.under[s.Key] = u
		if u.records {
			records = append(records, u)
		} else {
			tell = append(tell, u)
		}
	}
	most, writers := kv.BatchMost, lotWriters
	if len(statuses) < kv.BatchLeast { // which are no batch: none waits for another
		most, writers = 1, statusWriters
	}
	queue := make(chan []*underWay, len(statuses))
	for lot := range slices.Chunk(append(records, tell...), most) { // what holds up commands first
		queue <- lot
	}
	close(queue)
	for range min(writers, len(queue)) {
		w.wg.Go(func() {
			for lot := range queue {
				w.write(lot, put)
			}
		})
	}
}

// write writes a lot.
func (w *writes) write(lot []*underWay, put putAll) {
	statuses := make([]state.Status, len(lot))
	for i, u := range lot {
		statuses[i] = u.status
	}
	for i, p := range put(statuses) {
		lot[i].revision, lot[i].err = p.Revision, p.Err
	}
	w.mu.Lock()
	w.landed = append(w.landed, lot...)
	w.mu.Unlock()
	signal(w.signal)
}

// take are those that have landed since it was last called, without those of earlier terms.
func (w *writes) take() (landed []*underWay) {
	w.mu.Lock()
	all := w.landed
	w.landed = nil
	w.mu.Unlock()
	for _, u := range all {
		if u.term == w.term {
			delete(w.under, u.status.Key)
			landed = append(landed, u)
		}
	}
	return landed
}

// putStatuses writes statuses, and waits for them where they are many.
func (l *loop) putStatuses(ctx context.Context, now time.Time, changed []state.Status) {
	if l.app.diskFailed() {
		return // a store that has failed does not answer
	}
	l.writes.begin(now, changed, l.inForce.all, func(s []state.Status) []kv.Put { return l.effects.putStatuses(ctx, s) })
	l.awaitStatuses(statusWriters)
}

// noteStatuses takes note of the statuses that have been stored or refused since.
func (l *loop) noteStatuses() {
	for _, u := range l.writes.take() {
		l.landed(u)
	}
}

// awaitStatuses does so until at most so many are on their way.
func (l *loop) awaitStatuses(atMost int) {
	for l.noteStatuses(); len(l.writes.under) > atMost; l.noteStatuses() {
		<-l.writes.signal
	}
}

// landed takes note of the end of one write.
func (l *loop) landed(u *underWay) {
	s := u.status
	switch {
	case errors.Is(u.err, kv.ErrConflict):
		delete(l.written, s.Key)
		l.Kick()
	case u.err != nil:
		l.app.log.Warn("a status was not written; it is tried again", "key", s.Key, "in", l.refused.failed(s.Key, u.now), "err", u.err)
	default:
		delete(l.refused, s.Key)
		s.Revision = u.revision
		l.written[s.Key] = s
	}
	if u.more {
		l.Kick()
	}
}
