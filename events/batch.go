package events

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// BatchMost is how many events are one batch at most.
const BatchMost = batches.Most

// BeginAll is [Publisher.Begin] for each of several events; stored has to be called, and
// returns an error for each. Where the stream can, many are one write to its disk, and are
// stored all or none; where that is refused, as where one of them is a repeat, each is sent
// by itself.
func (p *Publisher) BeginAll(ctx context.Context, all []Event) (stored func() []error) {
	if len(all) < batches.Least || len(all) > BatchMost || !p.batches.Taken(ctx) {
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
		if errors.Is(err, batches.ErrOneByOne) && ctx.Err() == nil {
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

// batchOf are those of the oldest facts that are one batch.
func batchOf(facts []fact) []fact {
	return batches.First(facts, func(f fact) int { return len(f.body) })
}

// storeBatch stores all or none. The error is that of store, or [batches.ErrOneByOne].
func (p *Publisher) storeBatch(ctx context.Context, facts []fact) error {
	if err := p.connected(); err != nil {
		return err
	}
	msgs := make([]*nats.Msg, 0, len(facts))
	for _, f := range facts {
		msgs = append(msgs, &nats.Msg{Subject: f.subject, Data: f.body, Header: nats.Header{
			jetstream.MsgIDHeader: {f.id}, jetstream.ExpectedStreamHeader: {Stream},
		}})
	}
	_, err := p.batches.Store(ctx, msgs)
	if err == nil || errors.Is(err, batches.ErrOneByOne) {
		return err
	}
	return classified(err)
}

// Batches reports whether many events are stored at once.
func (p *Publisher) Batches(ctx context.Context) bool { return p.batches.Taken(ctx) }
