package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of this package, to be compared with errors.Is.
var (
	// ErrNotFound means that the object does not exist, or has been deleted.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that an object is not at the revision that was asked for:
	// read it again and decide again.
	ErrConflict = errors.New("changed in the meantime")
	// ErrUnreachable means that NATS did not answer in time. A write may have been
	// carried out all the same.
	ErrUnreachable = errors.New("NATS is unreachable")
	// ErrNotAStore means that NATS answers but holds no store.
	ErrNotAStore = errors.New("no reconciler has ever run against this NATS")
	// ErrFull means that a bucket is at its bound: see [Limits].
	ErrFull = errors.New("the store is full")
	// ErrInvalid means that a key or a value cannot stand in the store, or that what
	// stands there cannot be read.
	ErrInvalid = errors.New("invalid")
)

// Codes of the JetStream API that nats.go knows by several names or by none.
const (
	codeWrongSequence         jetstream.ErrorCode = 10071
	codeWrongSequenceConstant jetstream.ErrorCode = 10164 // replicated streams
	codeNoStorage             jetstream.ErrorCode = 10047
	codeMadeMeanwhile         jetstream.ErrorCode = 10130 // at the end of a stream's restore
	codeRestoreFailed         jetstream.ErrorCode = 10062 // with the reason, and its code, in its text
	codeTooManyRequests       jetstream.ErrorCode = 10167
)

// wrap classifies an error of NATS; doing says what was tried.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{ErrNotFound, ErrConflict, ErrUnreachable, ErrNotAStore, ErrInvalid} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	var api *jetstream.APIError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	case isCode(err, codeWrongSequence), isCode(err, codeWrongSequenceConstant):
		return fmt.Errorf("%s: %w", doing, ErrConflict)
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%s: %w: start one, or check the URL", doing, ErrNotAStore)
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return fmt.Errorf("%s: %w: larger than this NATS takes: %w", doing, ErrInvalid, err)
	case isCode(err, codeMaxBytes):
		return fmt.Errorf("%s: %w: it is at the reconciler's --max-spec-bytes or --max-status-bytes: delete objects, or raise it; what runs goes on: %w",
			doing, ErrFull, err)
	case errors.As(err, &api):
		return fmt.Errorf("%s: %w", doing, err)
	default:
		return fmt.Errorf("%s: %w: %w", doing, ErrUnreachable, err)
	}
}

func isCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// isMadeMeanwhile reports whether a stream was not restored because somebody has made it.
func isMadeMeanwhile(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	within := fmt.Sprintf("(%d)", codeMadeMeanwhile)
	return api.ErrorCode == codeMadeMeanwhile || api.ErrorCode == codeRestoreFailed && strings.HasSuffix(api.Description, within)
}
