package events

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Users apart from the store (docs/adr/0023) can make no consumer. They ask the reconciler
// for events, on the subject on which they ask for everything.

// SubjectRead is where a reconciler reads for them.
const SubjectRead = "dynctl.reconciler.read"

const (
	throughPatience = 10 * time.Second
	// throughEvery is how often new ones are asked for.
	throughEvery = time.Second
)

// ReadRequest asks for the events behind a position in the stream.
type ReadRequest struct {
	// Bucket is [Stream].
	Bucket string `json:"bucket"`
	// After is the position of the last one that is known, Since leaves out what is older.
	After uint64    `json:"after,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// ReadReply are some of them.
type ReadReply struct {
	Events []ReadEvent `json:"events"`
	// Last is the position up to which was looked, More that there may be more behind it.
	Last  uint64 `json:"last"`
	More  bool   `json:"more,omitempty"`
	Error string `json:"error,omitempty"`
}

// ReadEvent is one, as it was stored, with its position.
type ReadEvent struct {
	Sequence uint64          `json:"seq"`
	Body     json.RawMessage `json:"body"`
}

// apart reports whether an error is what such a user gets for a request to JetStream.
func apart(err error) bool {
	for _, e := range []error{nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// through reads as run does, by requests; direct is why it cannot be done otherwise.
func (t *tail) through(ctx context.Context, yield func(Event, error) bool, direct error) error {
	r := ReadRequest{Bucket: Stream, Since: t.opts.Since}
	if t.opts.FromSeq > 0 {
		r.After = t.opts.FromSeq - 1
	}
	for asked := false; ; asked = true {
		more, err := t.page(ctx, &r, yield)
		switch {
		case errors.Is(err, errStopped) || ctx.Err() != nil:
			return cmp.Or(ctx.Err(), err)
		case errors.Is(err, nats.ErrNoResponders) && !asked:
			return fmt.Errorf("read %s: %w: %w", Stream, ErrUnavailable, direct)
		case err != nil && (!asked || !t.opts.Follow):
			return fmt.Errorf("read %s: %w: %w", Stream, ErrUnavailable, err)
		case more:
			continue
		case !t.opts.Follow:
			return nil
		}
		select {
		case <-time.After(throughEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// page hands on what comes next; more: there may be more behind it.
func (t *tail) page(ctx context.Context, r *ReadRequest, yield func(Event, error) bool) (more bool, err error) {
	reply, err := askEvents(ctx, t.js.Conn(), *r)
	if err != nil {
		return false, err
	}
	if err := t.handOn(reply, yield); err != nil {
		return false, err
	}
	r.After = max(r.After, reply.Last)
	return reply.More, nil
}

func (t *tail) handOn(reply ReadReply, yield func(Event, error) bool) error {
	for _, raw := range reply.Events {
		e, err := Decode(raw.Body)
		e.Sequence = raw.Sequence
		if err != nil {
			err = fmt.Errorf("message %d of %s: %w", raw.Sequence, Stream, err)
		} else if !t.wants(e) {
			continue
		}
		if !yield(e, err) {
			return errStopped
		}
	}
	return nil
}

// wants is what the subjects of a consumer choose, and matches.
func (t *tail) wants(e Event) bool {
	server := e.Data.Server
	if server == "" {
		server = ClusterServer
	}
	return (t.opts.Server == "" || t.opts.Server == server) &&
		(len(t.opts.Types) == 0 || slices.Contains(t.opts.Types, e.Type)) && t.matches(e, e.Time)
}

func askEvents(ctx context.Context, nc *nats.Conn, r ReadRequest) (ReadReply, error) {
	var reply ReadReply
	body, err := json.Marshal(r)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, throughPatience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, SubjectRead, body)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return reply, fmt.Errorf("answer to a read: %w", err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}
