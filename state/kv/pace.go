package kv

import (
	"context"
	"errors"
	"time"
)

const (
	// slowFor is how long a slow answer of the store counts.
	slowFor = 30 * time.Second
	// outlasts is how many of the slowest answers a lease outlasts.
	outlasts = 8
)

// pace finds how long a lease is to last. A short one is taken over soon, and lost by a
// holder whose store is slow; so it is as short as the store is quick, and no shorter
// than somebody has use for.
type pace struct {
	slowest time.Duration // answer of the store
	at      time.Time
}

// took notes how long the store took to store a renewal, or did not.
func (p *pace) took(d time.Duration, now time.Time) {
	if d >= p.slowest || now.Sub(p.at) > slowFor {
		p.slowest, p.at = d, now
	}
}

// lasts is how long the next revision of the lease is to last; awaited: a standby waits
// for it.
func (p *pace) lasts(awaited bool) time.Duration {
	if !awaited {
		return LeaseTTL
	}
	return max(LeaseShort, min(outlasts*p.slowest, LeaseTTL))
}

// patience finds how long an answer is worth waiting for. Whoever gives up and asks again
// before a store that is far away can have answered never hears anything.
type patience struct{ pace }

// ask gives a request the time of two of the slowest answers, and no longer than a lease lasts.
func (p *patience) ask(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(leaseTry, min(2*p.slowest, LeaseTTL)))
	defer cancel()
	sent := time.Now()
	err := request(ctx)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		p.took(time.Since(sent), time.Now())
	}
	return err
}
