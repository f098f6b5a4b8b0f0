package kv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MaxReplicas is how many servers can hold a bucket; NATS has no more.
const MaxReplicas = 5

// CheckReplicas is the name of the check that looks how many servers hold the buckets.
const CheckReplicas = "replicas"

// CheckKept is the name of the check that looks for what a reconciler leaves as it is, because
// it cannot read what another version has accepted.
const CheckKept = "kept"

// CheckWarm is the name of the check that counts the worker processes that are kept ready.
const CheckWarm = "warm-pool"

// Codes of the JetStream API for replicas that cannot be had.
const (
	codeNoPeers      jetstream.ErrorCode = 10005 // no suitable peers for placement
	codeNoResources  jetstream.ErrorCode = 10023 // the peers lack room
	codeNotClustered jetstream.ErrorCode = 10074
	codeNotAvailable jetstream.ErrorCode = 10008 // no meta leader
)

// ErrFewServers means that the NATS has fewer servers with JetStream than replicas are asked
// for: some are away, or there never were as many.
var ErrFewServers = errors.New("NATS has fewer servers than --replicas asks for")

// tooFew classifies what NATS answers who asks for replicas; nil: something else is wrong.
func tooFew(name string, replicas int, err error) error {
	switch {
	case replicas <= 1:
	case isCode(err, codeNotClustered):
		return fmt.Errorf("%s: %w: it is one server by itself, and %d are asked for: pass --replicas 1, or the URLs of a cluster: %w", name, ErrFewServers, replicas, err)
	case isCode(err, codeNoPeers), isCode(err, codeNoResources):
		return fmt.Errorf("%s: %w: %d are asked for: start the servers that are away, see that each has JetStream and room: %w", name, ErrFewServers, replicas, err)
	}
	return nil
}

// Raise gives streams that have fewer replicas than asked for as many, where NATS can; those
// with more keep them. A stream that is not there is passed over.
func Raise(ctx context.Context, js jetstream.JetStream, replicas int, streams ...string) error {
	var errs []error
	for _, name := range streams {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			errs = append(errs, wrap("replicas of "+name, err))
			continue
		}
		cfg := s.CachedInfo().Config
		if cfg.Replicas >= replicas {
			continue
		}
		cfg.Replicas = replicas
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			if few := tooFew(name, replicas, err); few != nil {
				err = few
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Buckets are the names of the streams behind the buckets.
func Buckets() []string {
	return []string{streamName(BucketSpecs), streamName(BucketStatus), streamName(BucketObserved), streamName(BucketLease)}
}

const (
	// reachEvery is how often KeepReaching asks, reachWithin how long an answer may take.
	reachEvery  = time.Second
	reachWithin = 2 * time.Second
	// reachPatience is for how long the store may not be reached before another server is
	// tried: an election of NATS takes 4 to 9 s, and moving meanwhile costs nothing.
	reachPatience = 6 * time.Second
)

// KeepReaching moves the connection to another server of a cluster where the store cannot be
// reached through that of now, although this answers: one that is cut off from the others
// keeps its clients. It returns when ctx ends.
func KeepReaching(ctx context.Context, js jetstream.JetStream, moved func(server string)) {
	keepReaching(ctx, js, reachPatience, moved)
}

func keepReaching(ctx context.Context, js jetstream.JetStream, patience time.Duration, moved func(server string)) {
	nc := js.Conn()
	reached := time.Now()
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !nc.IsConnected() || len(nc.Servers()) < 2 {
			reached = time.Now() // it looks for a server by itself, or there is no other
			continue
		}
		asking, cancel := context.WithTimeout(ctx, reachWithin)
		_, err := js.Stream(asking, streamName(BucketLease)) // its leader alone answers
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			reached = time.Now()
		}
		if time.Since(reached) < patience {
			continue
		}
		was := nc.ConnectedUrlRedacted()
		if nc.ForceReconnect() == nil {
			moved(was)
		}
		reached = time.Now()
	}
}

// Passes reports whether what keeps the buckets from being made or read may pass by itself.
func Passes(err error) bool {
	if isCode(err, codeNotClustered) {
		return false
	}
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRestoring) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		isCode(err, codeNotAvailable) || isCode(err, codeNoPeers) || isCode(err, codeNoResources)
}

// leaderless tells a bucket that has no leader just now, as for some seconds after the death of
// the server that led, from one that is not there.
func leaderless(ctx context.Context, js jetstream.JetStream, bucket string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if _, look := js.Stream(ctx, streamName(bucket)); errors.Is(look, jetstream.ErrStreamNotFound) || errors.Is(look, jetstream.ErrJetStreamNotEnabled) {
		return err
	}
	return fmt.Errorf("%w: nobody leads the bucket %s just now: %w", ErrUnreachable, bucket, err)
}
