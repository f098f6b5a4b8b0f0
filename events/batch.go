package events

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
	// BatchMost is how many events are one batch at most; NATS takes 1,000.
	BatchMost = 256
	// batchLeast is from how many on they are one: the store puts a batch into files of its
	// own first and then into the stream, which takes as long as some single events.
	batchLeast = 32
	// batchBytes bounds a batch as well: what else waits for the stream waits for all of it.
	batchBytes = 4 << 20
	// headerBytes is more than the headers of a message of a batch take.
	headerBytes = 1 << 10
	// batchesEvery is how often a stream that takes no batches is looked at again.
	batchesEvery = time.Minute
)

// errOneByOne means that each event of a batch is to be sent by itself, and told by itself what
// is wrong with it: the batch was refused as a whole, or this stream does not know batches and
// may have stored the events as they came, which their ids make good.
var errOneByOne = errors.New("the event stream refuses them together")

// BeginAll is [Publisher.Begin] for each of several events; stored has to be called, and
// returns an error for each. Where the stream can, many are one write to its disk, and are
// stored all or none; where that is refused, as where one of them is a repeat, each is sent
// by itself.
func (p *Publisher) BeginAll(ctx context.Context, all []Event) (stored func() []error) {
	if len(all) < batchLeast || len(all) > BatchMost || !p.batches.taken(ctx, p.js) {
		return p.beginEach(ctx, all)
	}
	facts := make([]fact, 0, len(all))
	for _, e := range all {
		body, err := Encode(e)
		if err != nil {
			return p.beginEach(ctx, all)
		}
		facts = append(facts, fact{e.ID, e.Subject(), body})
	}
	if len(batchOf(facts)) < len(facts) {
		return p.beginEach(ctx, all)
	}
	answer := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		answer <- p.storeBatch(ctx, facts)
	}()
	return func() []error {
		err := <-answer
		if errors.Is(err, errOneByOne) && ctx.Err() == nil {
			return p.beginEach(ctx, all)()
		}
		out := make([]error, len(all))
		for i := range out {
			out[i] = err
		}
		return out
	}
}

func (p *Publisher) beginEach(ctx context.Context, all []Event) (stored func() []error) {
	waits := make([]func() error, 0, len(all))
	for _, e := range all {
		waits = append(waits, p.Begin(ctx, e))
	}
	return func() []error {
		out := make([]error, 0, len(waits))
		for _, wait := range waits {
			out = append(out, wait())
		}
		return out
	}
}

// batchOf is how many of the oldest facts are one batch.
func batchOf(facts []fact) []fact {
	size := 0
	for i, f := range facts {
		if size += len(f.body); i > 0 && (i == BatchMost || size > batchBytes) {
			return facts[:i]
		}
	}
	return facts
}

// storeBatch stores all or none. The error is that of store, or [errOneByOne].
func (p *Publisher) storeBatch(ctx context.Context, facts []fact) error {
	if err := p.connected(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // or the stream would keep what it got of a batch that never ends
		return classified(err)
	}
	msgs := make([]*nats.Msg, 0, len(facts))
	for _, f := range facts {
		if int64(len(f.body))+headerBytes > p.js.Conn().MaxPayload() {
			return fmt.Errorf("%w: %s is too large", errOneByOne, f.id) // or half a batch would be left there
		}
		msgs = append(msgs, &nats.Msg{Subject: f.subject, Data: f.body, Header: nats.Header{
			jetstream.MsgIDHeader: {f.id}, jetstream.ExpectedStreamHeader: {Stream},
		}})
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, p.js, msgs, jetstreamext.BatchFlowControl{})
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstreamext.ErrBatchPublishNotEnabled), errors.Is(err, jetstreamext.ErrInvalidBatchAck):
		p.batches.refused()
		return fmt.Errorf("%w: %w", errOneByOne, err)
	case errors.As(err, &api), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject),
		errors.Is(err, nats.ErrNoResponders): // nobody took it: alone, one finds out whether there is a stream
		return fmt.Errorf("%w: %w", errOneByOne, err)
	}
	return classified(err)
}

// allowBatches has the stream take batches. Where NATS cannot (one before 2.12) or this user
// may not change the stream, events are stored one by one, as ever.
func allowBatches(ctx context.Context, js jetstream.JetStream) {
	s, err := js.Stream(ctx, Stream)
	if err != nil || s.CachedInfo().Config.AllowAtomicPublish {
		return
	}
	cfg := s.CachedInfo().Config
	cfg.AllowAtomicPublish = true
	_, _ = js.UpdateStream(ctx, cfg) // see [Publisher.Batches] for what came of it
}

// Batches reports whether many events are stored at once.
func (p *Publisher) Batches(ctx context.Context) bool { return p.batches.taken(ctx, p.js) }

// batches is what is known of whether the stream takes batches.
type batches struct {
	mu    sync.Mutex
	takes bool
	asked time.Time // zero: never
}

// taken reports whether it does. A NATS before 2.12 does not know them, and stores what it is
// sent as a batch one by one, of which it answers for the last.
func (b *batches) taken(ctx context.Context, js jetstream.JetStream) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.takes && (b.asked.IsZero() || time.Since(b.asked) >= batchesEvery) {
		s, err := js.Stream(ctx, Stream)
		b.takes, b.asked = err == nil && s.CachedInfo().Config.AllowAtomicPublish, time.Now()
	}
	return b.takes
}

// refused takes note of a stream that has turned out to be another one.
func (b *batches) refused() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takes, b.asked = false, time.Now()
}
