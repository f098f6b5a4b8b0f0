package events

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
	"dynctl/events/batches/batchestest"
)

// events0To are the events e0 to e(n-1).
func events0To(n int) (out []Event) {
	for i := range n {
		out = append(out, testEvent(i))
	}
	return out
}

// What is published together is stored once and in its order: few or many, where one of them is
// there already, and where the stream takes no batches, or no longer.
func TestPublishAll(t *testing.T) {
	for name, tc := range map[string]struct {
		n      int
		before func(*testing.T, *Publisher, jetstream.JetStream)
	}{
		"a few":            {n: 3},
		"a batch":          {n: BatchMost},
		"more than one":    {n: BatchMost + 1},
		"with a repeat":    {batches.Least, func(t *testing.T, p *Publisher, _ jetstream.JetStream) { published(t, p, events0To(1)) }},
		"all are a repeat": {batches.Least, func(t *testing.T, p *Publisher, _ jetstream.JetStream) { published(t, p, events0To(batches.Least)) }},
		"no batches":       {batches.Least, func(t *testing.T, _ *Publisher, js jetstream.JetStream) { batchestest.Allow(t, js, Stream, false) }},
		"no batches any more": {batches.Least, func(t *testing.T, p *Publisher, js jetstream.JetStream) {
			if !p.Batches(t.Context()) {
				t.Error("it takes batches")
			}
			batchestest.Allow(t, js, Stream, false)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t)
			js := b.ready()
			p := newPublisher(t, js, PublisherOptions{})
			if tc.before != nil {
				tc.before(t, p, js)
			}
			published(t, p, events0To(tc.n))
			inOrder(t, stored(t, js), tc.n)
		})
	}
}

// published publishes events together, and fails unless all are stored.
func published(t *testing.T, p *Publisher, all []Event) {
	t.Helper()
	for i, err := range p.PublishAll(t.Context(), all) {
		if err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
}

// One that is no event is told by itself, and the others are stored.
func TestPublishAllWithOneThatIsNone(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	p := newPublisher(t, js, PublisherOptions{})
	all := append(events0To(batches.Least), testEvent(batches.Least))
	all[batches.Least].Source = ""
	for i, err := range p.PublishAll(t.Context(), all) {
		if i < batches.Least && err != nil || i == batches.Least && !errors.Is(err, ErrInvalid) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	inOrder(t, stored(t, js), batches.Least)
	b.stop()
	for i, err := range p.PublishAll(t.Context(), events0To(2*batches.Least)) {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("event %d without NATS: %v", i, err)
		}
	}
	b.start()
	inOrder(t, stored(t, b.dial()), batches.Least)
}

// Facts of which the stream has one already, or that it takes no more of at once, are stored
// one by one, in their order.
func TestFactsThatAreRefusedTogether(t *testing.T) {
	for name, before := range map[string]func(*testing.T, *Publisher, jetstream.JetStream){
		"one is a repeat": func(t *testing.T, p *Publisher, _ jetstream.JetStream) { published(t, p, events0To(1)) },
		"no batches any more": func(t *testing.T, p *Publisher, js jetstream.JetStream) {
			p.Batches(t.Context())
			batchestest.Allow(t, js, Stream, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t)
			js := b.ready()
			p := newPublisher(t, js, PublisherOptions{})
			before(t, p, js)
			const n = 3 * batches.Least
			for i := range n {
				p.Record(testEvent(i))
			}
			if err := closeWithin(p, 20*time.Second); err != nil || p.Dropped() > 0 {
				t.Errorf("%v, %d dropped", err, p.Dropped())
			}
			inOrder(t, stored(t, js), n)
		})
	}
}

// Many facts that find no stream are sent one by one: alone, one has the stream made again.
func TestABatchWithoutAStream(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	p := newPublisher(t, js, PublisherOptions{})
	if err := js.DeleteStream(t.Context(), Stream); err != nil {
		t.Fatal(err)
	}
	facts := slices.Repeat([]fact{{"id", SubjectPrefix + ".a", []byte("{}")}}, batches.Least)
	if err := p.storeBatch(t.Context(), facts); !errors.Is(err, batches.ErrOneByOne) {
		t.Errorf("got %v, want %v", err, batches.ErrOneByOne)
	}
}
