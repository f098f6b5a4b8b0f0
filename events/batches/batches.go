// Package batches stores many messages as one write of a JetStream stream, all or none.
package batches

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// Most is how many messages are one batch at most; NATS takes 1,000.
	Most = 256
	// Least is from how many on they are one: the store puts a batch into files of its own
	// first and then into the stream, which takes as long as some single messages.
	Least = 32
	// mostBytes bounds a batch as well: what else waits for the stream waits for all of it.
	mostBytes = 4 << 20
	// headerBytes is more than the headers of a message of a batch take.
	headerBytes = 1 << 10
	// askedEvery is how often a stream that takes no batches is looked at again.
	askedEvery = time.Minute
)

// ErrOneByOne means that each message of a batch is to be sent by itself, and told by itself what
// is wrong with it: the batch was refused as a whole, nobody took it, or this stream does not
// know batches and may have stored the messages as they came. Their ids, or the revisions that
// they replace, make that good.
var ErrOneByOne = errors.New("the stream refuses them together")

// First are those of the first that are one batch; size is how many bytes one takes.
func First[T any](all []T, size func(T) int) []T {
	sum := 0
	for i, x := range all {
		if sum += size(x); i > 0 && (i == Most || sum > mostBytes) {
			return all[:i]
		}
	}
	return all
}

// Allow has a stream take batches. Where NATS cannot (one before 2.12), or this user may not
// change the stream, it is written one by one, as ever; see [Stream.Taken] for what came of it.
func Allow(ctx context.Context, js jetstream.JetStream, stream string) {
	s, err := js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Config.AllowAtomicPublish {
		return
	}
	cfg := s.CachedInfo().Config
	cfg.AllowAtomicPublish = true
	_, _ = js.UpdateStream(ctx, cfg)
}

// Stream is a stream, and what is known of whether it takes batches. Its methods may be called
// from any goroutine.
type Stream struct {
	js   jetstream.JetStream
	name string

	mu    sync.Mutex
	takes bool
	asked time.Time // zero: never
}

// Of is the stream of that name. It is not asked yet.
func Of(js jetstream.JetStream, name string) *Stream { return &Stream{js: js, name: name} }

// Taken reports whether it takes batches. A NATS before 2.12 does not know them, and stores what
// it is sent as a batch one by one, of which it answers for the last.
func (s *Stream) Taken(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.takes && (s.asked.IsZero() || time.Since(s.asked) >= askedEvery) {
		found, err := s.js.Stream(ctx, s.name)
		s.takes, s.asked = err == nil && found.CachedInfo().Config.AllowAtomicPublish, time.Now()
	}
	return s.takes
}

// refused takes note of a stream that has turned out to be another one.
func (s *Stream) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.asked = false, time.Now()
}

// Store stores messages, all or none, and returns the sequence of the last; they follow each
// other. The error is [ErrOneByOne], or NATS' own, after which it is not known what has become
// of them.
func (s *Stream) Store(ctx context.Context, msgs []*nats.Msg) (last uint64, err error) {
	// What cannot be ended is not begun: the stream would keep what it got of it for a while.
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for _, m := range msgs {
		if int64(len(m.Data))+headerBytes > s.js.Conn().MaxPayload() {
			return 0, fmt.Errorf("%w: one for %s is too large", ErrOneByOne, m.Subject)
		}
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, s.js, msgs, jetstreamext.BatchFlowControl{})
	var api *jetstream.APIError
	switch {
	case err == nil:
		return ack.Sequence, nil
	case errors.Is(err, jetstreamext.ErrBatchPublishNotEnabled), errors.Is(err, jetstreamext.ErrInvalidBatchAck):
		s.refused()
		return 0, fmt.Errorf("%w: %w", ErrOneByOne, err)
	case errors.As(err, &api), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject),
		errors.Is(err, nats.ErrNoResponders): // nobody took it: alone, one finds out whether there is a stream
		return 0, fmt.Errorf("%w: %w", ErrOneByOne, err)
	}
	return 0, err
}
