// Package exit is the vocabulary of dynctl's exit codes: every error of a command
// carries the one that it ends the program with.
package exit

import (
	"context"
	"errors"
	"fmt"

	"dynctl/state/kv"
)

// Exit codes; scripts rely on them.
const (
	OK          = 0   // done, or no difference
	Difference  = 1   // diff and plan found one, doctor a fault
	Usage       = 2   // wrong usage, or an invalid spec
	NotFound    = 3   // the named object does not exist
	Conflict    = 4   // somebody else changed it first, or two objects clash
	Timeout     = 5   // what was waited for did not come in time
	Unreachable = 6   // NATS, Ray or the frontend does not answer or takes nothing, or the output is not whole
	Interrupted = 130 // ended by a signal, as shells count it
)

// Error is an error with the exit code that it ends the program with. With neither a
// text nor a cause it prints nothing.
type Error struct {
	Code int
	text string
	err  error
}

func (e *Error) Error() string {
	if e.text == "" && e.err != nil {
		return e.err.Error()
	}
	return e.text
}

// Unwrap is the cause; nil: there is none.
func (e *Error) Unwrap() error { return e.err }

// Silent ends the program with a code and prints nothing.
func Silent(code int) error { return &Error{Code: code} }

// Errorf is an error with an exit code; %w wraps as in [fmt.Errorf].
func Errorf(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, text: err.Error(), err: errors.Unwrap(err)}
}

// Usagef is an error of [Usage].
func Usagef(format string, args ...any) error { return Errorf(Usage, format, args...) }

// NotFoundf is an error of [NotFound].
func NotFoundf(format string, args ...any) error { return Errorf(NotFound, format, args...) }

// CodeOf is the code that err ends the program with. What has no code of its own came
// from the store or the network.
func CodeOf(err error) int {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return Unreachable
}

// Stored gives an error of the store or the stream its exit code; the text says
// already what was being done.
func Stored(err error) error {
	var e *Error
	switch {
	case err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, kv.ErrNotFound):
		return NotFoundf("%w", err)
	case errors.Is(err, kv.ErrConflict):
		return Errorf(Conflict, "%w", err)
	case errors.Is(err, kv.ErrInvalid):
		return Usagef("%w", err)
	}
	return Errorf(Unreachable, "%w", err)
}
