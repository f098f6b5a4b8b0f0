package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// verifyEvery is how often a mirror is compared with its stream.
	verifyEvery   = 2 * time.Second
	verifyTimeout = 3 * time.Second
	// heartbeat of the consumer; two missed ones end a session.
	heartbeat = 1 * time.Second
	// stallAfter is how long nothing has to arrive of a load that has begun until what lacks
	// is asked for.
	stallAfter = verifyEvery / 4
	retryMin   = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// mirrorConfig says what to mirror and whom to tell. The functions are called
// from the goroutine that drains the subscription: they must not block.
type mirrorConfig[T any] struct {
	bucket string
	// keepMissing keeps entries that a reload no longer finds, marked missing: a
	// missing key is not a delete.
	keepMissing bool
	// keep is how many bytes of values are kept beside what was made of them.
	keep  int
	parse func(entry) (T, error) // may be nil
	// judge compares a value that could be read with the others, and says why it is
	// set aside all the same; may be nil.
	judge func(others map[string]item[T], it item[T]) error
	// beat reports whether one value says what the other did, at another time; may be nil.
	beat func(old, it item[T]) bool
	each func(e entry, initial bool)
	kick func() // something changed
	// absent is called, and may block, when the bucket does not exist.
	absent func(context.Context) error
	// follow is told all that happens, under the lock and before the views show it;
	// may be nil.
	follow follower[T]
	// resync is called when the copy is reloaded, with why; may be nil.
	resync func(cause string)
	// dated: what is made of an entry goes by when it was stored.
	dated bool
	// backedUp: the bucket is one that a backup holds.
	backedUp bool
	// rests: in a flood of large values the bucket is let be from time to time.
	rests bool
}

// follower follows what a mirror sees, in its order.
type follower[T any] interface {
	begun(created time.Time)         // a load, from the stream made then
	arrived(item[T])                 // an entry, in the order of the stream
	loaded(items map[string]item[T]) // a load is complete
}

// item is an entry with what was made of it.
type item[T any] struct {
	entry
	val T
	// err says why the value is set aside.
	err error
	// held: val is the last one that could be read; the value that stands there cannot.
	held    bool
	missing bool // not in the bucket as it is now
}

// usable reports whether there is a value to go by.
func (i item[T]) usable() bool { return !i.deleted && (i.err == nil || i.held) }

// mirror is an in-memory copy of a bucket, read from its stream: KV watches carry
// no headers, and have been seen to stop in silence.
//
// One session loads the newest entry of each key, then follows. It ends, and the
// next one reloads, when the connection was lost, the consumer is gone, a
// message was lost, the stream is another one, or the stream has moved on and
// nothing arrives. The copy stays in force until the next load is complete.
type mirror[T any] struct {
	js  jetstream.JetStream
	cfg mirrorConfig[T]
	now func() time.Time

	mu    sync.Mutex
	items map[string]item[T]
	// created is when the stream was made that the items come from or, while
	// synced is false, that is being loaded.
	created   time.Time
	synced    bool
	connected bool
	verified  time.Time // when the copy was last known to be complete
	seen      uint64    // everything up to this sequence has arrived
	lacked    uint64    // keys that the last load which came to an end was short of
	// found are the values that were set aside and nobody has been told of yet.
	found   []Unreadable
	kept    int    // bytes of values in items
	version uint64 // raised with every change of what the views show
	news    uint64 // the last version that was more than a heartbeat
	// What the next delta names: touched keys, or the whole.
	whole   bool
	touched map[string]bool
	bad     int   // items that are set aside
	err     error // why the last session ended; nil while connected

	// why the last session that had loaded ended, until that is told; run's alone.
	why string
}

func newMirror[T any](js jetstream.JetStream, cfg mirrorConfig[T]) *mirror[T] {
	return &mirror[T]{js: js, cfg: cfg, now: time.Now, items: map[string]item[T]{}, whole: true}
}

// run mirrors until ctx ends.
func (m *mirror[T]) run(ctx context.Context) {
	reconnects := m.js.Conn().StatusChanged(nats.CONNECTED)
	defer m.js.Conn().RemoveStatusListener(reconnects)
	delay := retryMin
	for ctx.Err() == nil {
		s := &session[T]{m: m, fresh: map[string]item[T]{}, failed: make(chan error, 1)}
		if m.cfg.rests {
			s.tired = make(chan struct{}, 1)
		}
		err := s.run(ctx, reconnects)
		if ctx.Err() != nil {
			return
		}
		if s.isLoaded() {
			delay, m.why = retryMin, causeOf(err)
		}
		if errors.Is(err, errReload) {
			continue
		}
		m.fail(err)
		if errors.Is(err, jetstream.ErrStreamNotFound) && m.cfg.absent != nil && m.cfg.absent(ctx) == nil {
			continue
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, retryMax)
		case <-reconnects:
		case <-ctx.Done():
		}
	}
}

// errReload ends a session that did nothing wrong; the others say why.
var (
	errReload      = errors.New("reload")
	errReconnected = fmt.Errorf("%w: the connection was made again", errReload)
	errRecreated   = fmt.Errorf("%w: the bucket was recreated", errReload)
	errPurged      = fmt.Errorf("%w: the bucket was purged", errReload)
	errClock       = fmt.Errorf("%w: a clock was set", errReload)
	errGap         = fmt.Errorf("%w: the watch has a gap", errReload)
)

// Why a view was reloaded.
const (
	ResyncReconnect = "reconnect" // the connection was made again
	ResyncRecreated = "recreated" // the bucket is gone, was recreated or purged
	ResyncGap       = "gap"       // a message was lost, or the watch stopped in silence
	ResyncClosed    = "closed"    // the watch ended
)

func causeOf(err error) string {
	switch {
	case errors.Is(err, errReconnected):
		return ResyncReconnect
	case errors.Is(err, errRecreated), errors.Is(err, errPurged), errors.Is(err, jetstream.ErrStreamNotFound):
		return ResyncRecreated
	case errors.Is(err, errGap):
		return ResyncGap
	}
	return ResyncClosed
}

func (m *mirror[T]) fail(err error) {
	m.mu.Lock()
	changed := m.connected || m.err == nil
	m.connected, m.err = false, err
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrRestoring) {
		// The copy is of a bucket that is no more; the next one has another age.
		changed = changed || m.synced
		m.synced = false
	}
	if changed {
		m.changed()
	}
	m.mu.Unlock()
	if changed {
		m.cfg.kick()
	}
}

// restores fails while the bucket is being restored. The same number twice: it was not in
// between.
func (m *mirror[T]) restores(ctx context.Context) (uint64, error) {
	if !m.cfg.backedUp {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	return restoring(ctx, m.js)
}

// begin starts a load. From another stream than before nothing is known until it
// is complete. It reports whether it is another stream.
func (m *mirror[T]) begin(created time.Time) (changed bool) {
	m.mu.Lock()
	changed = !created.Equal(m.created)
	if changed {
		m.created, m.synced, m.seen = created, false, 0
		m.changed()
	}
	if m.cfg.follow != nil {
		m.cfg.follow.begun(created)
	}
	m.mu.Unlock()
	if changed {
		m.cfg.kick()
	}
	return changed
}

// tellResync tells of a load that follows another; of a bucket that was recreated
// the end of the last session need not know.
func (m *mirror[T]) tellResync(recreated bool) {
	if m.why == "" || m.cfg.resync == nil {
		return
	}
	if recreated {
		m.why = ResyncRecreated
	}
	m.cfg.resync(m.why)
	m.why = ""
}
