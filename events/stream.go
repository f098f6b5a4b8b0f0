package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// Limits of the stream.
const (
	// MaxAge is how long an event is kept.
	MaxAge = 7 * 24 * time.Hour
	// MaxBytes bounds the stream; the oldest events make room.
	MaxBytes = 1 << 30
	// DuplicateWindow is how long a message id is remembered.
	DuplicateWindow = 2 * time.Minute
)

// EnsureStream makes the stream DYNCTL_EVENTS unless it exists. An existing one is
// left as the operator has tuned it (replicas, limits), as long as it takes the
// subjects; replicas is how many servers hold one that is made, 1 unless given. Several
// callers may race. The error wraps [ErrUnavailable] when NATS does not answer or has no room.
func EnsureStream(ctx context.Context, js jetstream.JetStream, replicas ...int) error {
	if err := makeStream(ctx, js, replicas...); err != nil {
		return err
	}
	batches.Allow(ctx, js, Stream)
	return nil
}

func makeStream(ctx context.Context, js jetstream.JetStream, replicas ...int) error {
	all := SubjectPrefix + ".>"
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        Stream,
		Description: "dynctl: commands to the agent and facts",
		Subjects:    []string{all},
		Storage:     jetstream.FileStorage,
		Replicas:    slices.Max(append(replicas, 1)),
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      MaxAge,
		MaxBytes:    MaxBytes,
		Duplicates:  DuplicateWindow,
		AllowDirect: true,
	})
	if err == nil {
		return nil
	}
	if slices.Max(append(replicas, 1)) > 1 && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// One that is there is kept, although it would not be made now.
		if _, look := js.Stream(ctx, Stream); look == nil {
			err = jetstream.ErrStreamNameAlreadyInUse
		}
	}
	switch {
	case isCode(err, codeNoStorage):
		return fmt.Errorf("stream %s: %w: it reserves 1 GiB and the NATS store has less: free disk space or raise max_file_store: %w", Stream, ErrUnavailable, err)
	case !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		return fmt.Errorf("stream %s: %w: %w", Stream, ErrUnavailable, err)
	}
	s, err := js.Stream(ctx, Stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w: %w", Stream, ErrUnavailable, err)
	}
	if subjects := s.CachedInfo().Config.Subjects; !slices.Contains(subjects, all) {
		return fmt.Errorf("stream %s exists with the subjects %q and would not take %s: add that subject or delete the stream", Stream, subjects, all)
	}
	return nil
}

// Codes of the JetStream API that nats.go does not name.
const codeNoStorage jetstream.ErrorCode = 10047

func isCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
