package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// session is one consumer's life.
type session[T any] struct {
	m      *mirror[T]
	failed chan error
	// tired is told when a rest is due; nil: never.
	tired chan struct{}
	rests rests                       // of handle alone
	rest  func(context.Context) error // see rest
	// Of follow alone: what had arrived at its last look, if that was behind, and at the last
	// one for a stall.
	lag, arrived uint64
	// clocks are as they were when the session began.
	clocks clocks

	// Under m.mu.
	fresh  map[string]item[T] // until loaded
	kept   int                // bytes of values in it
	loaded bool
	target uint64 // the stream's last message when the session began
	keys   uint64 // how many it had then; a consumer's count lacks one that is being written
	early  uint64 // of them, how many have arrived as they were then
	left   uint64 // how many were on their way behind the last message
	until  uint64 // messages, when all has arrived that was there as the first later one was sent
	count  uint64 // messages delivered
}

func (s *session[T]) isLoaded() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.loaded
}

func (s *session[T]) run(ctx context.Context, reconnects <-chan nats.Status) error {
	m := s.m
	before, err := m.restores(ctx)
	if err != nil {
		return err
	}
	asked := m.now()
	stream, err := openStream(ctx, m.js, m.cfg.bucket)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	s.clocks = compare(info.TimeStamp, asked, m.now())
	m.tellResync(m.begin(info.Created))
	s.target, s.keys = info.State.LastSeq, info.State.NumSubjects
	create, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	cons, err := stream.CreateConsumer(create, readerConfig(m.cfg.bucket, ">", jetstream.DeliverLastPerSubjectPolicy))
	if err != nil {
		return err
	}
	defer func() {
		if m.js.Conn().IsConnected() {
			dropConsumer(stream, cons)
		}
	}()
	// The consumer reads one stream and no other, and that was not being filled: not before
	// it was made, nor has somebody begun to in between.
	if after, err := m.restores(ctx); err != nil || after != before {
		return cmp.Or(err, errRecreated)
	}
	s.rest = func(ctx context.Context) error { return rest(ctx, stream, cons.CachedInfo().Name) }
	if s.keys == 0 {
		m.mu.Lock()
		s.finish()
		m.mu.Unlock()
		m.cfg.kick()
	}
	cc, err := cons.Consume(s.handle,
		jetstream.PullMaxBytes(pullBytes(m.js)), jetstream.PullExpiry(10*heartbeat), jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { s.end(err) }))
	if err != nil {
		return err
	}
	defer func() {
		cc.Stop()
		<-cc.Closed()
	}()
	return s.follow(ctx, reconnects)
}

// follow compares the copy with the stream until the session has to end.
func (s *session[T]) follow(ctx context.Context, reconnects <-chan nats.Status) error {
	tick, stalls := time.NewTicker(verifyEvery), time.NewTicker(stallAfter)
	defer tick.Stop()
	defer stalls.Stop()
	tired := s.tired
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.failed:
			return err
		case <-reconnects:
			return errReconnected
		case <-tired:
			switch err := s.rest(ctx); {
			case errors.Is(err, errNoRest):
				tired = nil
			case err != nil:
				return err
			}
		case <-stalls.C:
			loaded, err := s.unstall(ctx)
			if err != nil {
				return err
			}
			if loaded {
				stalls.Stop()
			}
		case <-tick.C:
			if err := s.look(ctx); err != nil {
				return err
			}
		}
	}
}

// look verifies, and ends the session where the stream has more and nothing has come since
// the last look.
func (s *session[T]) look(ctx context.Context) error {
	behind, seen, err := s.verify(ctx)
	if err != nil {
		return err
	}
	if behind && seen == s.lag {
		if s.completeWithout() {
			s.m.cfg.kick()
			return nil
		}
		return fmt.Errorf("%w: that of %s has stopped", errGap, s.m.cfg.bucket)
	}
	s.lag = 0
	if behind {
		s.lag = seen
	}
	return nil
}

// verify reports whether the stream has more than what has arrived.
func (s *session[T]) verify(ctx context.Context) (behind bool, seen uint64, err error) {
	m, asked := s.m, s.m.now()
	stream, err := openStream(ctx, m.js, m.cfg.bucket)
	if err != nil {
		return false, 0, err
	}
	info := stream.CachedInfo()
	if m.cfg.dated && compare(info.TimeStamp, asked, m.now()).set(s.clocks) {
		return false, 0, errClock
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !info.Created.Equal(m.created) {
		return false, 0, errRecreated
	}
	if !s.loaded {
		return true, s.count, nil
	}
	if info.State.LastSeq <= m.seen {
		if s.purged(info.State.NumSubjects) {
			return false, 0, errPurged
		}
		m.verified = time.Now()
		return false, m.seen, nil
	}
	return true, m.seen, nil
}

// purged reports whether the bucket has fewer keys than have arrived: a purge of the
// stream sends nothing. m.mu is held, and nothing is on its way.
func (s *session[T]) purged(keys uint64) bool {
	there := uint64(0)
	for _, it := range s.m.items {
		if !it.missing {
			there++
		}
	}
	return keys < there
}

// handle takes one message: it stores and kicks, nothing else.
func (s *session[T]) handle(msg jetstream.Msg) {
	m := s.m
	meta, err := msg.Metadata()
	if err != nil {
		s.end(err)
		return
	}
	e := fromMsg(m.cfg.bucket, msg, meta)
	it := s.read(&e)
	m.mu.Lock()
	s.count++
	if meta.Sequence.Consumer != s.count {
		m.mu.Unlock()
		s.end(fmt.Errorf("%w: a message of %s was lost on the way", errGap, m.cfg.bucket))
		return
	}
	if s.loaded {
		it = m.settle(m.items, it)
	}
	if m.cfg.follow != nil {
		m.cfg.follow.arrived(it)
	}
	initial := !s.loaded
	if initial {
		known := s.add(it)
		if s.complete(e.rev, meta.NumPending, known) {
			s.finish()
		}
	} else {
		m.replace(it)
	}
	if s.loaded {
		m.seen = max(m.seen, e.rev)
		m.verified = time.Now()
	}
	loaded := s.loaded
	m.mu.Unlock()
	if m.cfg.each != nil {
		m.cfg.each(e, initial)
	}
	if loaded || m.cfg.each != nil {
		m.cfg.kick()
	}
	if !initial {
		s.tire(e.size, meta.NumPending)
	}
}

// read makes an item of an entry that has come.
func (s *session[T]) read(e *entry) item[T] {
	e.at = s.clocks.here(e.at, s.m.now())
	it := item[T]{entry: *e}
	if s.m.cfg.parse != nil && !e.deleted {
		it.val, it.err = s.m.cfg.parse(*e)
	}
	it.header = lasting(e.header)
	return it
}

// add adds an item to the load, and reports whether just this one was there; m.mu is held.
func (s *session[T]) add(it item[T]) (known bool) {
	old, ok := s.fresh[it.key]
	s.m.trim(&it, old, &s.kept)
	s.fresh[it.key] = it
	return ok && old.rev == it.rev
}

// complete takes note of a message and of how many are on their way behind it, and reports
// whether all keys have arrived. What is written again before it is sent is not sent as it
// was; until it comes as it is now, nothing may be on its way although it has not arrived.
// known: it had been asked for. m.mu is held.
func (s *session[T]) complete(rev, left uint64, known bool) bool {
	s.left = left
	if rev <= s.target {
		s.early += uint64(count(!known))
	} else if s.until == 0 {
		s.until = s.count + left
	}
	return s.early >= s.keys || s.until > 0 && s.count >= s.until && uint64(len(s.fresh)) >= s.keys
}

// completeWithout puts a load in force that lacks as many keys as the one before it, though
// nothing is on its way: NATS counts what it cannot read. It reports whether it did.
func (s *session[T]) completeWithout() bool {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.loaded || s.count == 0 || s.left > 0 {
		return false
	}
	lacks := s.keys - min(s.keys, uint64(len(s.fresh)))
	if m.lacked != lacks {
		m.lacked = lacks
		return false
	}
	s.finish()
	return true
}

// finish puts the loaded entries in force; m.mu is held.
func (s *session[T]) finish() {
	m := s.m
	for key, it := range s.fresh {
		s.fresh[key] = m.settle(s.fresh, it)
	}
	if m.cfg.keepMissing {
		for key, old := range m.items {
			if _, ok := s.fresh[key]; !ok {
				old.missing = true
				s.fresh[key] = old
				s.kept += len(old.value)
			}
		}
	}
	if m.cfg.follow != nil {
		m.cfg.follow.loaded(s.fresh)
	}
	m.bad = 0
	for _, it := range s.fresh {
		m.bad += count(it.err != nil)
	}
	m.items, m.kept, s.fresh, s.loaded = s.fresh, s.kept, nil, true
	m.synced, m.connected, m.err = true, true, nil
	m.seen = max(m.seen, s.target)
	m.verified = time.Now()
	m.changed()
}

// end ends the session; the first reason counts.
func (s *session[T]) end(err error) {
	select {
	case s.failed <- err:
	default:
	}
}
