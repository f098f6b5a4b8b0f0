package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// Defaults of PublisherOptions.
const (
	DefaultMemory   = 4096
	DefaultMaxBytes = 64 << 20
)

const (
	publishTimeout = 5 * time.Second
	retryFirst     = 100 * time.Millisecond
	retryMax       = 2 * time.Second
)

// PublisherOptions are the bounds of a Publisher's spool.
type PublisherOptions struct {
	// Memory is the number of facts that wait in memory; 0 means DefaultMemory. With
	// a Dir, those that are being sent come on top.
	Memory int
	// Dir is a directory of this publisher's own where facts wait once half of
	// Memory is used, and over a restart; it is made if absent. Empty: none.
	Dir string
	// MaxBytes bounds what lies in Dir; 0 means DefaultMaxBytes.
	MaxBytes int64
	// Replicas is how many servers hold a stream that had to be made again; 0 means 1.
	Replicas int
	// Log is told about trouble, not about single events; nil: nobody is.
	Log *slog.Logger
}

// Publisher writes events: commands at once, facts through a spool. Facts reach
// the stream in the order in which they were recorded. Where somebody has deleted the
// stream, the first fact that finds it gone has it made again. Its methods may be called
// from any goroutine.
//
// The connection should have been made with nats.ReconnectBufSize(-1): otherwise
// a command that failed because NATS was away may be sent when it is back.
type Publisher struct {
	js jetstream.JetStream
	// async is for what is waited for later, and gives up what is not answered in time.
	async   jetstream.JetStream
	batches *batches.Stream

	opts PublisherOptions
	log  *slog.Logger

	dropped atomic.Uint64

	// moveMu is held while facts move between tail, disk and head, so that their
	// order cannot change. It is taken before mu, never by Record.
	moveMu sync.Mutex
	disk   *segments // nil without Dir

	mu sync.Mutex
	// Invariant: what head holds is older than what is on disk, and that is older
	// than what tail holds.
	head   []fact
	tail   []fact
	closed bool

	wake   chan struct{} // for the sender
	spill  chan struct{} // for the spiller
	closeC chan struct{} // closed by Close: end once all is sent
	cancel context.CancelFunc
	sender chan struct{} // closed when the sender has ended
	rest   sync.WaitGroup
}

// fact is an encoded event.
type fact struct {
	id, subject string
	body        []byte
}

// NewPublisher makes a publisher and takes up the facts that an earlier one left
// in Dir. It fails when Dir cannot be used.
func NewPublisher(js jetstream.JetStream, opts PublisherOptions) (*Publisher, error) {
	if opts.Memory <= 0 {
		opts.Memory = DefaultMemory
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	async, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		return nil, fmt.Errorf("event publisher: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Publisher{
		js: js, async: async, batches: batches.Of(js, Stream), opts: opts, log: opts.Log, cancel: cancel,
		wake: make(chan struct{}, 1), spill: make(chan struct{}, 1),
		closeC: make(chan struct{}), sender: make(chan struct{}),
	}
	if opts.Dir != "" {
		d, err := openSegments(opts.Dir, opts.MaxBytes)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("event spool: %w: make the directory writable or name another", err)
		}
		for _, err := range d.passed {
			p.log.Error("event spool: a file is passed over; what it holds is not sent", "error", err, "fix", "look at it, and remove it")
		}
		p.disk = d
		p.rest.Go(func() { p.runSpiller(ctx) })
	}
	go p.runSender(ctx)
	return p, nil
}

// Publish stores one event before it returns; it is meant for commands. A repeat
// of an ID within the duplicate window succeeds and stores nothing. The error is
// [ErrInvalid] or [ErrUnavailable]; after the latter the event may have been
// stored.
func (p *Publisher) Publish(ctx context.Context, e Event) error {
	body, err := Encode(e)
	if err != nil {
		return err
	}
	if err := p.store(ctx, fact{e.ID, e.Subject(), body}); err != nil {
		return fmt.Errorf("event %s on %s: %w", e.ID, e.Subject(), err)
	}
	return nil
}

// Begin sends one event as [Publisher.Publish] does, and leaves the waiting until it is
// stored to the caller: stored has to be called, and returns what Publish would. What one
// goroutine begins reaches the stream in that order.
func (p *Publisher) Begin(ctx context.Context, e Event) (stored func() error) {
	failed := func(err error) func() error { return func() error { return err } }
	body, err := Encode(e)
	if err != nil {
		return failed(err)
	}
	named := func(err error) error {
		if err = classified(err); err == nil {
			return nil
		}
		return fmt.Errorf("event %s on %s: %w", e.ID, e.Subject(), err)
	}
	if err := p.connected(); err != nil {
		return failed(fmt.Errorf("event %s on %s: %w", e.ID, e.Subject(), err))
	}
	ack, err := p.async.PublishMsgAsync(&nats.Msg{Subject: e.Subject(), Data: body, Header: nats.Header{}},
		jetstream.WithMsgID(e.ID), jetstream.WithExpectStream(Stream))
	if err != nil {
		return failed(named(err))
	}
	return func() error {
		select {
		case <-ack.Ok():
			return nil
		case err := <-ack.Err():
			return named(err)
		case <-ctx.Done():
			return named(ctx.Err())
		}
	}
}

// Record takes one fact and never blocks and never does IO. What cannot be taken
// (the spool is full, the event is invalid, the publisher is closed) counts as
// dropped.
func (p *Publisher) Record(e Event) {
	body, err := Encode(e)
	if err != nil {
		p.dropped.Add(1)
		p.log.Error("fact dropped", "error", err)
		return
	}
	p.mu.Lock()
	waiting := len(p.tail)
	if p.disk == nil {
		waiting += len(p.head)
	}
	if p.closed || waiting >= p.opts.Memory {
		p.mu.Unlock()
		p.dropped.Add(1)
		return
	}
	p.tail = append(p.tail, fact{e.ID, e.Subject(), body})
	full := len(p.tail) >= (p.opts.Memory+1)/2
	p.mu.Unlock()
	signal(p.wake)
	if full {
		signal(p.spill)
	}
}

// Dropped counts the facts that were given up since the start.
func (p *Publisher) Dropped() uint64 { return p.dropped.Load() }

// Spooled counts the facts that are not stored yet.
func (p *Publisher) Spooled() int {
	p.moveMu.Lock() // or facts on their way from disk to head would not be counted
	defer p.moveMu.Unlock()
	n := 0
	if p.disk != nil {
		n = p.disk.count()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return n + len(p.head) + len(p.tail)
}

// Close takes no more facts and sends what waits, until ctx ends. What is left
// then is kept in Dir for the next publisher, or counts as dropped where there
// is no Dir; either way the error is [ErrUnflushed]. A second Close does nothing.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	close(p.closeC)
	select {
	case <-p.sender:
	case <-ctx.Done():
	}
	p.cancel()
	<-p.sender
	p.rest.Wait()
	left := p.Spooled()
	if left == 0 {
		return nil
	}
	if p.disk == nil {
		p.dropped.Add(uint64(left))
		return fmt.Errorf("%w: %d dropped: %w", ErrUnflushed, left, context.Cause(ctx))
	}
	if err := p.keep(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnflushed, err)
	}
	return fmt.Errorf("%w: %d kept in %s for the next start", ErrUnflushed, left, p.opts.Dir)
}

// store publishes and classifies the failure.
func (p *Publisher) store(ctx context.Context, f fact) error {
	if err := p.connected(); err != nil {
		return err
	}
	_, err := p.js.PublishMsg(ctx, &nats.Msg{Subject: f.subject, Data: f.body, Header: nats.Header{}},
		jetstream.WithMsgID(f.id), jetstream.WithExpectStream(Stream))
	return classified(err)
}

func (p *Publisher) connected() error {
	if s := p.js.Conn().Status(); s != nats.CONNECTED {
		return fmt.Errorf("%w: connection is %s", ErrUnavailable, s)
	}
	return nil
}

// classified says of a failure whether another try may help.
func classified(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
