package simray

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// writers is how many keys are written at once.
const writers = 8

// writeRetry is the pause after a write that failed.
const writeRetry = 100 * time.Millisecond

// writer keeps keys of the observed bucket equal to the values that it was given:
// by compare-and-swap, at once, coalesced while a write of the key is under way.
type writer struct {
	kv  jetstream.KeyValue
	log *slog.Logger
	// conflict is asked after each lost compare-and-swap; an error ends the write.
	conflict func(context.Context) error

	mu     sync.Mutex
	more   *sync.Cond
	closed bool
	slots  map[string]*slot
	ready  []string // keys that are to be written and are not being written
}

// slot is one key. The last value given counts; nil deletes the key.
type slot struct {
	value       any
	revision    uint64 // 0: not there
	dirty, busy bool
	done        []func()
}

// nodeValue is what stands under node.<id>.
type nodeValue struct {
	state.Node
	Incarnation uint64 `json:"incarnation"`
}

func newWriter(kv jetstream.KeyValue, log *slog.Logger, conflict func(context.Context) error) *writer {
	w := &writer{kv: kv, log: log, conflict: conflict, slots: map[string]*slot{}}
	w.more = sync.NewCond(&w.mu)
	return w
}

// put writes a value; done, if any, is called once it (or a later one) stands there.
func (w *writer) put(key string, value any, done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[key]
	if s == nil {
		s = &slot{}
		w.slots[key] = s
	}
	s.value = value
	if done != nil {
		s.done = append(s.done, done)
	}
	if !s.dirty && !s.busy {
		w.ready = append(w.ready, key)
		w.more.Signal()
	}
	s.dirty = true
}

func (w *writer) run(ctx context.Context) {
	var group sync.WaitGroup
	for range writers {
		group.Go(func() { w.work(ctx) })
	}
	<-ctx.Done()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.more.Broadcast()
	group.Wait()
}

func (w *writer) work(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.ready) == 0 && !w.closed {
			w.more.Wait()
		}
		if w.closed {
			return
		}
		key := w.ready[0]
		w.ready = w.ready[1:]
		s := w.slots[key]
		value, revision, done := s.value, s.revision, s.done
		s.dirty, s.busy, s.done = false, true, nil
		w.mu.Unlock()
		revision, err := w.write(ctx, key, value, revision)
		if err == nil {
			for _, f := range done {
				f()
			}
		}
		w.mu.Lock()
		s.revision, s.busy = revision, false
		if err != nil {
			s.done, s.dirty = append(done, s.done...), true
		}
		switch {
		case s.dirty:
			w.ready = append(w.ready, key)
			w.more.Signal()
		case s.value == nil:
			delete(w.slots, key) // a later write finds the marker by itself
		}
	}
}

// write makes one attempt; it returns the revision to replace next.
func (w *writer) write(ctx context.Context, key string, value any, revision uint64) (uint64, error) {
	next, err := w.store(ctx, key, value, revision)
	switch {
	case err == nil:
		return next, nil
	case !isConflict(err):
		w.log.Warn("simray: not written yet", "key", key, "err", err)
		pause(ctx, writeRetry)
		return revision, err
	}
	if err := w.conflict(ctx); err != nil {
		pause(ctx, writeRetry) // the end is on its way
		return revision, err
	}
	e, getErr := w.kv.Get(ctx, key)
	if getErr != nil {
		return 0, errors.Join(err, getErr)
	}
	return e.Revision(), err
}

func (w *writer) store(ctx context.Context, key string, value any, revision uint64) (uint64, error) {
	if value == nil {
		if revision == 0 {
			return 0, nil
		}
		return 0, w.kv.Delete(ctx, key, jetstream.LastRevision(revision))
	}
	if u, ok := value.(state.Unit); ok {
		u.SentAt = time.Now()
		value = u
	}
	body, err := json.Marshal(value)
	if err != nil {
		return revision, err
	}
	if revision == 0 {
		return w.kv.Create(ctx, key, body)
	}
	return w.kv.Update(ctx, key, body, revision)
}

// isConflict reports whether somebody else wrote the key.
func isConflict(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
