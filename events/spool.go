package events

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// runSender sends the head of the spool, in its order, until the publisher is closed and all
// is sent, or ctx ends. What waits in numbers is sent together.
func (p *Publisher) runSender(ctx context.Context) {
	defer close(p.sender)
	conn := p.js.Conn()
	back := conn.StatusChanged(nats.CONNECTED)
	defer conn.RemoveStatusListener(back)
	delay, alone := retryFirst, 0 // so many are to be sent one by one
	for {
		facts, ok := p.await(ctx)
		if !ok {
			return
		}
		if facts = batchOf(facts); alone > 0 || len(facts) < batches.Least || !p.batches.Taken(ctx) {
			facts = facts[:1]
		}
		err := p.send(ctx, facts, back)
		switch {
		case errors.Is(err, batches.ErrOneByOne):
			alone = len(facts)
			continue
		case errors.Is(err, ErrInvalid):
			p.dropped.Add(1)
			p.log.Error("fact dropped", "id", facts[0].id, "subject", facts[0].subject, "error", err)
			fallthrough
		case err == nil:
			delay = retryFirst
			alone = max(alone-1, 0)
			p.advance(len(facts))
			continue
		}
		if delay == retryFirst {
			p.log.Warn("facts wait: the event stream does not take them", "spooled", p.Spooled(), "error", err)
		}
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			p.makeAgain(ctx)
		}
		delay = pause(ctx, delay, back)
		if ctx.Err() != nil {
			return
		}
	}
}

// await returns the oldest facts once there are some; false: the publisher has ended.
func (p *Publisher) await(ctx context.Context) ([]fact, bool) {
	for {
		if facts := p.next(); len(facts) > 0 {
			return facts, true
		}
		select {
		case <-p.wake:
		case <-p.closeC:
			facts := p.next()
			return facts, len(facts) > 0
		case <-ctx.Done():
			return nil, false
		}
	}
}

// makeAgain makes the stream if nobody answers for it because it is not there. A store that
// cannot make it now is asked again with the next try.
func (p *Publisher) makeAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := p.js.Stream(ctx, Stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return
	}
	if err := EnsureStream(ctx, p.js, p.opts.Replicas); err != nil {
		p.log.Error("the event stream was deleted and cannot be made again yet", "error", err)
		return
	}
	p.log.Error("the event stream was deleted: it is made again, without the events that it had")
}

// pause waits before the next try, but not once the connection has been made again, and
// returns how long the wait after that is.
func pause(ctx context.Context, delay time.Duration, back <-chan nats.Status) time.Duration {
	select {
	case <-time.After(delay):
		return min(2*delay, retryMax)
	case <-back:
		return retryFirst
	case <-ctx.Done():
		return delay
	}
}

func (p *Publisher) send(ctx context.Context, facts []fact, back <-chan nats.Status) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return untilBack(ctx, back, func(ctx context.Context) error {
		if len(facts) > 1 {
			return p.storeBatch(ctx, facts)
		}
		return p.store(ctx, facts[0])
	})
}

// untilBack asks NATS for something, and ends that when the connection is made again
// meanwhile: with the old one the answer was lost.
func untilBack(ctx context.Context, back <-chan nats.Status, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for len(back) > 0 {
		<-back // of before
	}
	answer := make(chan error, 1)
	go func() { answer <- ask(ctx) }()
	select {
	case err := <-answer:
		return err
	case <-back:
		cancel()
		return <-answer
	}
}

// next are the oldest facts. It refills the head from disk, else from the tail.
func (p *Publisher) next() []fact {
	p.mu.Lock()
	if head := p.head; len(head) > 0 {
		p.mu.Unlock()
		return head
	}
	p.mu.Unlock()

	p.moveMu.Lock()
	defer p.moveMu.Unlock()
	for p.disk != nil && p.disk.count() > 0 {
		facts, bad, err := p.disk.load()
		p.dropped.Add(uint64(bad))
		switch {
		case err != nil && bad == 0:
			p.log.Error("event spool: a file is passed over; what it holds is not sent", "error", err)
		case bad > 0:
			p.log.Error("event spool: what cannot be read is set aside, the rest is sent", "lines", bad, "file", p.disk.path(p.disk.loaded.number),
				"aside", filepath.Join(p.opts.Dir, unreadableFile), "error", err)
		}
		if len(facts) == 0 {
			p.disk.release()
			continue
		}
		p.mu.Lock()
		p.head = facts
		p.mu.Unlock()
		return facts
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head, p.tail = p.tail, nil
	return p.head
}

// advance takes the n oldest facts off.
func (p *Publisher) advance(n int) {
	p.moveMu.Lock()
	defer p.moveMu.Unlock()
	p.mu.Lock()
	p.head = p.head[n:]
	empty := len(p.head) == 0
	if empty {
		p.head = nil
	}
	p.mu.Unlock()
	if empty && p.disk != nil {
		p.disk.release()
	}
}

// runSpiller moves the tail to disk when memory runs short. It is a goroutine of
// its own because the sender may hang in a publish for seconds.
func (p *Publisher) runSpiller(ctx context.Context) {
	for {
		select {
		case <-p.spill:
			p.moveMu.Lock()
			p.spillTail()
			p.moveMu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// spillTail appends the tail to disk; moveMu is held. What does not fit is
// dropped.
func (p *Publisher) spillTail() {
	p.mu.Lock()
	facts := p.tail
	p.tail = nil
	p.mu.Unlock()
	stored, err := p.disk.append(facts)
	if lost := len(facts) - stored; lost > 0 {
		p.dropped.Add(uint64(lost))
		p.log.Error("facts dropped: the event spool takes no more", "facts", lost, "dir", p.opts.Dir, "error", err)
	}
}

// keep writes what is in memory to disk, in order, when the publisher ends.
func (p *Publisher) keep() error {
	p.moveMu.Lock()
	defer p.moveMu.Unlock()
	p.mu.Lock()
	head := p.head
	p.head = nil
	p.mu.Unlock()
	err := p.disk.restore(head)
	if err != nil {
		p.dropped.Add(uint64(len(head)))
	}
	p.spillTail()
	return err
}
