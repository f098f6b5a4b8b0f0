package main

import (
	"errors"
	"io"
	"sync"

	"dynctl/cmd/dynctl/internal/exit"
)

// output is standard output. It remembers the first write that failed, so that no verb
// has to look at each line it prints: a full disk behind `dynctl get models > file`
// must not look like an answer that is whole.
type output struct {
	to io.Writer

	mu     sync.Mutex
	failed error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.failed == nil {
			o.failed = err
		}
	}
	return n, err
}

// complete is err, or what kept the output from being whole: scripts must not take a
// part for the answer, and not a missing list of differences for one that they have.
func (o *output) complete(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil || errors.Is(err, o.failed) || err != nil && err.Error() != "" {
		return err
	}
	return exit.Errorf(exit.Unreachable, "the output is not whole: %w", o.failed)
}
