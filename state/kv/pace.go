package kv

import "time"

const (
	// slowFor is how long a slow answer of the store counts.
	slowFor = 30 * time.Second
	// patience is how many of the slowest answers a lease outlasts.
	patience = 8
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
	return max(LeaseShort, min(patience*p.slowest, LeaseTTL))
}
