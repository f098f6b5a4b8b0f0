package events

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnavailable says that the stream could not be reached or has no room.
var ErrUnavailable = errors.New("event stream unavailable")

// ErrInvalid says that a document is not an event of this system.
var ErrInvalid = errors.New("not a dynctl event")

// Encode renders a CloudEvent.
func Encode(e Event) ([]byte, error) { return nil, ErrInvalid }

// Decode reads a CloudEvent.
func Decode(b []byte) (Event, error) { return Event{}, ErrInvalid }

// EnsureStream makes the stream.
func EnsureStream(ctx context.Context, js jetstream.JetStream) error { return ErrUnavailable }

// CommandID names a command.
func CommandID(epoch uint64, server, unit, verb, generation string, parts ...string) string {
	return ""
}

// PublisherOptions of a Publisher.
type PublisherOptions struct {
	// Memory is the number of facts held in memory; 0 means 4096.
	Memory int
	// Dir is where facts spill to once memory is full; empty: nowhere.
	Dir string
	// MaxBytes bounds what lies in Dir; 0 means 64 MiB.
	MaxBytes int64
	Log      *slog.Logger
}

// Publisher writes events.
type Publisher struct{}

// NewPublisher makes a publisher.
func NewPublisher(js jetstream.JetStream, opts PublisherOptions) (*Publisher, error) {
	return nil, ErrUnavailable
}

// Publish stores one event.
func (p *Publisher) Publish(ctx context.Context, e Event) error { return ErrUnavailable }

// Record spools one fact.
func (p *Publisher) Record(e Event) {}

// Dropped counts the facts that were given up.
func (p *Publisher) Dropped() uint64 { return 0 }

// Spooled counts the facts that wait.
func (p *Publisher) Spooled() int { return 0 }

// Close flushes within ctx.
func (p *Publisher) Close(ctx context.Context) error { return nil }

// TailOptions select events.
type TailOptions struct {
	Since   time.Time // zero: from the start
	FromSeq uint64    // 0: from the start
	Server  string    // ClusterServer: those of no server; empty: all
	Types   []string
	Object  string
	Model   string
	// Follow goes on when all that is stored has been read.
	Follow bool
}

// Tail reads events in order.
func Tail(ctx context.Context, js jetstream.JetStream, o TailOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {}
}
