package main

import (
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// span is a time in which requests may fail, and why. One that is not over at its limit
// is late: what was struck has not come back as it has to.
type span struct {
	what    string // a model's name, or frontendSpan
	cause   cause
	from    time.Time
	limit   time.Time // no request that began later is excused
	to      time.Time // zero while it is open
	late    bool
	excused int
}

// frontendSpan is struck where no model can be served.
const frontendSpan = "the frontend"

// spans is what may fail, and until when. It reads no clock: the time is told.
type spans struct {
	open   map[string]*span // by what is struck
	closed []*span
	healed time.Time // until when nobody is there who heals, for all that is known
}

func newSpans() *spans { return &spans{open: map[string]*span{}} }

// strike opens a span, or grants one that is open the time that the new fault takes. It
// reports whether it was opened.
func (l *spans) strike(what string, c cause, now time.Time) bool {
	limit := latest(now, l.healed).Add(c.bound())
	if s := l.open[what]; s != nil {
		s.limit = latest(s.limit, limit)
		return false
	}
	l.open[what] = &span{what: what, cause: c, from: now.Add(-margin), limit: limit}
	return true
}

// hold grants a span that is open the time that c takes; what is not struck stays so.
func (l *spans) hold(what string, c cause, now time.Time) {
	if l.open[what] != nil {
		l.strike(what, c, now)
	}
}

// delay holds off all healing for as long as c takes: all that is struck, or will be
// in that time, has so much longer.
func (l *spans) delay(c cause, now time.Time) {
	until := now.Add(c.bound())
	more := until.Sub(latest(now, l.healed))
	if more <= 0 {
		return
	}
	for _, s := range l.open {
		s.limit = s.limit.Add(more)
	}
	l.healed = until
}

// end closes the span of what serves again.
func (l *spans) end(what string, now time.Time) {
	s := l.open[what]
	if s == nil {
		return
	}
	s.to = now.Add(margin)
	l.closed = append(l.closed, s)
	delete(l.open, what)
}

// expire closes the spans whose limit is over, and returns them in order of what is
// struck. From then on nothing is excused by them.
func (l *spans) expire(now time.Time) (late []*span) {
	for _, s := range l.open {
		if now.After(s.limit) {
			late = append(late, s)
		}
	}
	slices.SortFunc(late, func(a, b *span) int { return strings.Compare(a.what, b.what) })
	for _, s := range late {
		s.to, s.late = s.limit, true
		l.closed = append(l.closed, s)
		delete(l.open, s.what)
	}
	return late
}

// excuse finds the span that a failed request falls into, and counts it there; nil: it
// may not fail.
func (l *spans) excuse(r request) *span {
	for _, s := range l.closed {
		if s.covers(r.model, r.from, r.to) {
			s.excused++
			return s
		}
	}
	return nil
}

func (s *span) covers(model string, from, to time.Time) bool {
	return (s.what == frontendSpan || s.what == model) && to.After(s.from) && from.Before(s.to)
}

// share is how much of a time a model was struck, overlaps counted once.
func (l *spans) share(model string, from, to time.Time) (sum time.Duration) {
	of := slices.DeleteFunc(slices.Clone(l.closed), func(s *span) bool { return !s.covers(model, from, to) })
	slices.SortFunc(of, func(a, b *span) int { return a.from.Compare(b.from) })
	for _, s := range of {
		from = latest(from, s.from)
		if end := earliest(s.to, to); end.After(from) {
			sum += end.Sub(from)
			from = end
		}
	}
	return sum
}

// causeRow sums up the spans of one cause.
type causeRow struct {
	cause                cause
	spans, late, excused int
	longest, sum         time.Duration
}

// table sums up by cause, in order of their texts.
func (l *spans) table() (out []causeRow) {
	for _, s := range l.closed {
		i := slices.IndexFunc(out, func(r causeRow) bool { return r.cause == s.cause })
		if i < 0 {
			out, i = append(out, causeRow{cause: s.cause}), len(out)
		}
		r, took := &out[i], s.to.Sub(s.from)
		r.spans++
		r.excused += s.excused
		r.sum += took
		r.longest = max(r.longest, took)
		if s.late {
			r.late++
		}
	}
	slices.SortFunc(out, func(a, b causeRow) int { return strings.Compare(a.cause.text, b.cause.text) })
	return out
}

// An awaited process is etcd, NATS or the frontend, of which the attempt that ran at the
// fault has to be followed by another. Attempts of an infra that is recreated count from
// 1 again, so the time of their start tells them apart.
type awaited struct {
	label string
	began time.Time // of the attempt that was struck
}

// over reports whether a later attempt runs and the frontend has caught up with it, or
// has itself been executed since.
func (a awaited) over(runs, frontend state.Actor, now time.Time) bool {
	if !runs.StartedAt.After(a.began) {
		return false
	}
	fresh := a.label == "ETCD" && frontend.StartedAt.After(runs.StartedAt) && now.Sub(frontend.StartedAt) > settle
	return fresh || now.Sub(runs.StartedAt) >= catchUp[a.label]
}

// harm is what a fault did to a unit: an attempt of it ended, or its node went. One that
// is recreated under the same name counts its attempts from 1 again, so time tells.
type harm struct {
	model string
	at    time.Time
	node  string    // empty: its node stays
	until time.Time // of what may not come to pass: what runs then was spared; zero: it does
}

// over reports whether a unit has been executed since, elsewhere if its node went, or
// was spared.
func (h harm) over(u state.Unit, now time.Time) bool {
	if len(u.Actors) == 0 {
		return false
	}
	spared := !h.until.IsZero() && now.After(h.until) && u.State == state.UnitRunning
	return spared || u.Actors[0].StartedAt.After(h.at) && u.Actors[0].Node != h.node
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
