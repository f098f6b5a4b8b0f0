package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// errNotAbove: a time that somebody is to wait or be given is none.
var errNotAbove = errors.New("has to be above 0s")

// patience is the value of a flag that says how long is waited.
type patience time.Duration

// patienceVar defines such a flag.
func patienceVar(fs *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	fs.Var((*patience)(p), name, usage)
}

// String is how long.
func (p *patience) String() string { return time.Duration(*p).String() }

// Type is that of pflag's own durations.
func (*patience) Type() string { return "duration" }

// Set takes a duration above zero.
func (p *patience) Set(s string) error {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return err
	case d <= 0:
		return errNotAbove
	}
	*p = patience(d)
	return nil
}
