package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit codes; scripts rely on them.
const (
	exitOK          = 0   // done, or no difference
	exitDifference  = 1   // diff and plan found one, doctor a fault
	exitUsage       = 2   // wrong usage, or an invalid spec
	exitNotFound    = 3   // the named object does not exist
	exitConflict    = 4   // somebody else changed it first, or two objects clash
	exitTimeout     = 5   // what was waited for did not come in time
	exitUnreachable = 6   // NATS, Ray or the frontend does not answer
	exitInterrupted = 130 // ended by a signal, as shells count it
)

// exitError is an error with the exit code that it ends the program with. An
// empty text prints nothing.
type exitError struct {
	code int
	text string
	err  error
}

func (e *exitError) Error() string {
	if e.text == "" && e.err != nil {
		return e.err.Error()
	}
	return e.text
}

func (e *exitError) Unwrap() error { return e.err }

// errDifference ends diff and plan when there is something to do.
var errDifference = &exitError{code: exitDifference}

func fail(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &exitError{code: code, text: err.Error(), err: errors.Unwrap(err)}
}

func usageErr(format string, args ...any) error    { return fail(exitUsage, format, args...) }
func notFoundErr(format string, args ...any) error { return fail(exitNotFound, format, args...) }

// exitCode is the code that err ends the program with. What has no code of its
// own came from the store or the network.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitUnreachable
}

// isUsage recognises the errors that cobra and pflag make of a wrong command
// line; they have no types.
func isUsage(err error) bool {
	text := err.Error()
	for _, start := range []string{
		"unknown command", "unknown flag", "unknown shorthand flag", "flag needs an argument",
		"invalid argument", "accepts ", "requires at least", "requires at most", "required flag",
		"if any flags in the group", "bad flag syntax", "at least one of the flags",
	} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}
