package events

import "errors"

// Errors of this package, to be compared with errors.Is.
var (
	// ErrInvalid means that an event lacks an attribute, or that a document is not
	// an event of this system. Trying again does not help.
	ErrInvalid = errors.New("not a dynctl event")
	// ErrUnavailable means that the stream could not be reached, does not exist or
	// has no room. The event may still have been stored; publishing it again under
	// the same ID is safe within the stream's duplicate window.
	ErrUnavailable = errors.New("event stream unavailable")
	// ErrUnflushed means that facts were left when a Publisher was closed.
	ErrUnflushed = errors.New("facts not flushed")
)
