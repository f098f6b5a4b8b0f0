package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// tailPoll is how long Tail waits for an event before it looks whether the stream
// is still the same one.
const tailPoll = 2 * time.Second

// tailRetry is the pause after a failure.
const tailRetry = 500 * time.Millisecond

// TailOptions select events. All that are given must hold.
type TailOptions struct {
	// Since leaves out what was stored earlier; zero: nothing is left out.
	Since time.Time
	// FromSeq begins at a position in the stream; 0: at its start.
	FromSeq uint64
	// Server selects those of one server; ClusterServer those of none; empty: all.
	Server string
	Types  []string // empty: all
	Object string   // as in Event.Object
	Model  string   // as in Data.Model
	// Follow goes on when all that is stored has been read, until ctx ends.
	Follow bool
}

// Tail reads events in the order of the stream, Sequence filled in. Without Follow
// it ends after the last one that was stored when it began.
//
// A message that is no event yields [ErrInvalid] with its Sequence, and the loop
// may go on. Any other error is the last: [ErrUnavailable], or why ctx ended.
// With Follow an outage is waited out; when the stream is deleted and made again,
// reading goes on at the start of the new one.
func Tail(ctx context.Context, js jetstream.JetStream, o TailOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		t := &tail{js: js, opts: o}
		err := t.run(ctx, yield)
		if err != nil && !errors.Is(err, errStopped) {
			yield(Event{}, err)
		}
	}
}

// errStopped means that the caller has left the loop.
var errStopped = errors.New("stopped")

type tail struct {
	js      jetstream.JetStream
	opts    TailOptions
	created time.Time // of the stream being read; zero before the first
	seen    uint64    // the last sequence delivered from it
}

func (t *tail) run(ctx context.Context, yield func(Event, error) bool) error {
	for {
		again, err := t.read(ctx, yield)
		switch {
		case errors.Is(err, errStopped):
			return err
		case apart(err):
			return t.through(ctx, yield, err)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !t.opts.Follow:
			return fmt.Errorf("read %s: %w: %w", Stream, ErrUnavailable, err)
		case err == nil && !again:
			return nil
		case err != nil && t.created.IsZero():
			// Nothing was ever there to follow: say so instead of waiting for ever.
			return fmt.Errorf("read %s: %w: %w", Stream, ErrUnavailable, err)
		case err != nil:
			if err := t.pause(ctx); err != nil {
				return err
			}
		}
	}
}

func (t *tail) pause(ctx context.Context) error {
	select {
	case <-time.After(tailRetry):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read follows one consumer; again means that the stream is another one now.
func (t *tail) read(ctx context.Context, yield func(Event, error) bool) (again bool, err error) {
	s, err := t.js.Stream(ctx, Stream)
	if err != nil {
		return false, err
	}
	t.of(s.CachedInfo().Created)
	last := s.CachedInfo().State.LastSeq
	cons, err := s.CreateConsumer(ctx, t.config())
	if err != nil {
		return false, err
	}
	if !t.opts.Follow && cons.CachedInfo().NumPending == 0 {
		return false, nil
	}
	msgs, err := cons.Messages()
	if err != nil {
		return false, err
	}
	defer msgs.Stop()
	for n := uint64(1); ; n++ {
		msg, again, err := t.await(ctx, cons, msgs)
		if msg == nil {
			return again, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return false, err
		}
		if meta.Sequence.Consumer != n {
			return true, nil // one was lost on the way: go on after the last seen
		}
		done, err := t.deliver(msg, meta, last, yield)
		if err != nil || done {
			return false, err
		}
	}
}

// of is told when the stream was made that is read now.
func (t *tail) of(created time.Time) {
	if created.Equal(t.created) {
		return
	}
	if !t.created.IsZero() {
		t.opts.FromSeq = 0 // a position in the old stream
	}
	t.created, t.seen = created, 0
}

// await waits for the next message; without one, read returns what it returns.
func (t *tail) await(ctx context.Context, cons jetstream.Consumer, msgs jetstream.MessagesContext) (msg jetstream.Msg, again bool, err error) {
	for {
		msg, err := next(ctx, msgs)
		switch {
		case err == nil:
			return msg, false, nil
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, false, err
		}
		if again, err := t.stale(ctx, cons); err != nil || again || !t.opts.Follow {
			return nil, again, err
		}
	}
}

func next(ctx context.Context, msgs jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tailPoll)
	defer cancel()
	return msgs.Next(jetstream.NextContext(ctx))
}

// deliver hands one message on; done means that it was the last one asked for.
func (t *tail) deliver(msg jetstream.Msg, meta *jetstream.MsgMetadata, last uint64, yield func(Event, error) bool) (done bool, err error) {
	t.seen = meta.Sequence.Stream
	done = !t.opts.Follow && (meta.NumPending == 0 || t.seen >= last)
	if !t.opts.Follow && t.seen > last {
		return true, nil
	}
	e, err := Decode(msg.Data())
	e.Sequence = t.seen
	if err != nil {
		if !yield(e, fmt.Errorf("message %d of %s: %w", t.seen, Stream, err)) {
			return false, errStopped
		}
		return done, nil
	}
	if t.matches(e, meta.Timestamp) && !yield(e, nil) {
		return false, errStopped
	}
	return done, nil
}

func (t *tail) matches(e Event, stored time.Time) bool {
	o := t.opts
	return (o.Object == "" || o.Object == e.Object) &&
		(o.Model == "" || o.Model == e.Data.Model) &&
		!stored.Before(o.Since)
}

// stale says, after a silence, that the consumer has to be recreated: the stream
// is another one, the consumer is gone, or it has messages that do not arrive.
func (t *tail) stale(ctx context.Context, cons jetstream.Consumer) (bool, error) {
	s, err := t.js.Stream(ctx, Stream)
	if err != nil {
		return false, err
	}
	if !s.CachedInfo().Created.Equal(t.created) {
		return true, nil
	}
	info, err := cons.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return info.NumPending > 0, nil
}

func (t *tail) config() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		FilterSubjects:    t.subjects(),
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		InactiveThreshold: time.Minute,
	}
	switch from := max(t.opts.FromSeq, t.seen+1); {
	case from > 1:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	case !t.opts.Since.IsZero():
		since := t.opts.Since
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	return c
}

func (t *tail) subjects() []string {
	server := t.opts.Server
	if server == "" {
		server = "*"
	}
	types := slices.Compact(slices.Sorted(slices.Values(t.opts.Types)))
	if len(types) == 0 {
		types = []string{"*"}
	}
	var out []string
	for _, typ := range types {
		out = append(out, strings.Join([]string{SubjectPrefix, server, typ, ">"}, "."))
	}
	return out
}
