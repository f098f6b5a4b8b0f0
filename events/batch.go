package events

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// BatchMost is how many events are one batch at most.
const BatchMost = batches.Most

// PublishAll is [Publisher.Publish] for each of several events, and returns an error for each.
// They are on their way at the same time, and reach the stream in their order. Where the
// stream can, many are one write to its disk, and are stored all or none; where that is
// refused, as where one of them is a repeat, each is sent by itself.
func (p *Publisher) PublishAll(ctx context.Context, all []Event) []error {
	if len(all) < batches.Least || len(all) > BatchMost || !p.batches.Taken(ctx) {
		return p.publishEach(ctx, all)
	}
	facts := make([]fact, 0, len(all))
	for _, e := range all {
		body, err := Encode(e)
		if err != nil {
			return p.publishEach(ctx, all)
		}
		facts = append(facts, fact{e.ID, e.Subject(), body})
	}
	if len(batchOf(facts)) < len(facts) {
		return p.publishEach(ctx, all)
	}
	err := p.storeBatchInTime(ctx, facts)
	if errors.Is(err, batches.ErrOneByOne) && ctx.Err() == nil {
		return p.publishEach(ctx, all)
	}
	return slices.Repeat([]error{err}, len(all))
}

func (p *Publisher) publishEach(ctx context.Context, all []Event) []error {
	waits := make([]func() error, 0, len(all))
	for _, e := range all {
		waits = append(waits, p.Begin(ctx, e))
	}
	out := make([]error, 0, len(waits))
	for _, wait := range waits {
		out = append(out, wait())
	}
	return out
}

// batchOf are those of the oldest facts that are one batch.
func batchOf(facts []fact) []fact {
	return batches.First(facts, func(f fact) int { return len(f.body) })
}

// storeBatchInTime is storeBatch, which gives up what is not answered in time.
func (p *Publisher) storeBatchInTime(ctx context.Context, facts []fact) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return p.storeBatch(ctx, facts)
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
