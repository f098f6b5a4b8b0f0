package kv

import "time"

// The store stamps what it is told by its own clock, which another machine may keep, and
// what is decided here goes by this one's. So a mirror moves those times to this clock: a
// worker that ended an hour in the future would not be executed again for an hour, and a
// delete of an hour ago would be held no more.

// clockApart is what two clocks may be apart before that is told from the way of an answer.
const clockApart = 2 * time.Second

// clocks are the clock of the store beside that of this machine, as they were compared.
type clocks struct {
	at    time.Time     // on this one
	ahead time.Duration // of the store's; 0 while they are not told apart
}

// compare reads the clock of the store from an answer that was asked for and came at those
// times. One that names no time says nothing.
func compare(store, asked, came time.Time) clocks {
	c, took := clocks{at: came}, came.Sub(asked)
	if d := store.Sub(asked.Add(took / 2)); !store.IsZero() && d.Abs()-took/2 > clockApart {
		c.ahead = d
	}
	return c
}

// set reports whether either clock was set since an earlier comparison.
func (c clocks) set(earlier clocks) bool {
	own := c.at.Round(0).Sub(earlier.at.Round(0)) - c.at.Sub(earlier.at) // by the wall, less what has passed
	return own.Abs() > clockApart || (c.ahead-earlier.ahead).Abs() > clockApart
}

// here is when something was stored, on this clock: what is read has happened.
func (c clocks) here(stored, now time.Time) time.Time {
	if stored = stored.Add(-c.ahead); stored.After(now) {
		return now
	}
	return stored
}
