package kv

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// nats-server keeps a block of a stream (8 MB) in memory for ten seconds after a message
// of it was read while it was being written, whatever its settings are, and drops at once
// one that was filled before anybody read in it. Who reads each message of a flood as it
// comes therefore has the server hold ten seconds of the flood. So a mirror that has
// caught up with one lets its bucket be for a moment: the server fills blocks and forgets
// them, and reads them again from the disk.
const (
	// restFrom is the size from which on values count, in bytes. Those of people and
	// programs are smaller; 1,000 a second below it are 160 MB in ten seconds.
	restFrom = 16 << 10
	// restAfter is how many bytes of them are read within restWithin without a rest.
	restAfter  = 4 << 20
	restWithin = 10 * time.Second
	// restFor is how long a rest is, and so how much longer a change waits in a flood.
	restFor = 750 * time.Millisecond
)

// rests is when a mirror rests.
type rests struct {
	read  int       // bytes of large values since then:
	since time.Time // the last rest, or less than restWithin ago
	until time.Time // when the last rest is over
}

// due takes note of a value of so many bytes that has arrived, with so many behind it,
// and reports whether it is time for a rest, which then begins.
func (r *rests) due(size int, behind uint64, now time.Time) bool {
	if now.Sub(r.since) > restWithin {
		r.read, r.since = 0, now
	}
	if size >= restFrom {
		r.read += size
	}
	// In a rest there still arrives what was on its way.
	if r.read < restAfter || behind > 0 || now.Before(r.until) {
		return false
	}
	r.read, r.since, r.until = 0, now, now.Add(restFor)
	return true
}

// tire takes note of a value, and has the session rest when that is due.
func (s *session[T]) tire(size int, behind uint64) {
	if !s.rests.due(size, behind, time.Now()) {
		return
	}
	select {
	case s.tired <- struct{}{}:
	default:
	}
}

// errNoRest: this server does not let us rest, or for how long we want to.
var errNoRest = errors.New("the consumer cannot be paused")

// rest has the server send nothing for restFor. The error is that of a consumer that may
// be paused for longer.
func rest(ctx context.Context, stream jetstream.Stream, consumer string) error {
	ctx, cancel := context.WithTimeout(ctx, restFor)
	defer cancel()
	r, err := stream.PauseConsumer(ctx, consumer, time.Now().Add(restFor))
	if err != nil {
		return errNoRest
	}
	if r.PauseRemaining <= 2*restFor {
		return nil
	}
	// Its clock is far behind ours.
	if _, err := stream.ResumeConsumer(ctx, consumer); err != nil {
		return err
	}
	return errNoRest
}
