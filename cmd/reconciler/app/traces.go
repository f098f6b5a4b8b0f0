package app

import (
	"slices"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

// traces follow each accepted revision of a model from its put until one worker of
// every role that it started serves, and then send one trace of it. They rest on
// what the reconciler knows anyway: events, and what the agent, etcd and the
// frontend say. Ids are hashes of key and revision, so that a trace is the same
// whoever leads. A nil *traces does nothing.
type traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer

	mu       sync.Mutex
	store    string // the store's id
	journeys map[state.Key]*journey
}

// journey is one revision on its way.
type journey struct {
	revision      uint64
	put, accepted time.Time
	legs          map[string]*leg // by unit
	// seen: this process saw it before it was complete, so the moments are true.
	seen bool
	// over: it was told, or there is nothing to tell.
	over bool
}

// leg is the way of one unit. What is zero has not happened, or was not seen.
type leg struct {
	role, reason string
	attempt      int

	published, placed, executed, registered, ready time.Time
}

// at is the journey of a revision; nil for one that is older than what is known.
func (t *traces) at(key state.Key, revision uint64) *journey {
	j := t.journeys[key]
	switch {
	case j != nil && j.revision > revision:
		return nil
	case j == nil || j.revision < revision:
		j = &journey{revision: revision, legs: map[string]*leg{}}
		t.journeys[key] = j
	}
	return j
}

// happened notes an event. One that was stored before this process began is not
// live: its journey may be long over.
func (t *traces) happened(e events.Event, live bool) {
	if t == nil || e.Data.Model == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := state.ModelKey(e.Data.Server, e.Data.Model)
	switch e.Type {
	case events.TypeSpecAccepted:
		if j := t.at(key, e.Data.SpecRevision); j != nil && j.accepted.IsZero() {
			j.accepted = e.Time
		}
	case events.TypeStart:
		j := t.at(key, e.Data.SpecRevision)
		if j == nil || j.over {
			return
		}
		j.seen = j.seen || live
		if j.legs[e.Data.Unit] == nil {
			j.legs[e.Data.Unit] = &leg{published: e.Time, reason: e.Data.Reason}
		}
	case events.TypePlacementCreated:
		if j := t.journeys[key]; j != nil && j.legs[e.Data.Unit] != nil && j.legs[e.Data.Unit].placed.IsZero() {
			j.legs[e.Data.Unit].placed = e.Time
		}
	}
}

// parent is the trace context of a unit's start; empty where its revision is not,
// or no more, on its way.
func (t *traces) parent(d events.Data) string {
	if t == nil || d.Model == "" {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := state.ModelKey(d.Server, d.Model)
	if j := t.journeys[key]; j == nil || j.revision != d.SpecRevision || j.over {
		return ""
	}
	ids := newTraceIDs(t.store, key, d.SpecRevision)
	return "00-" + ids.trace.String() + "-" + ids.span(d.Unit).String() + "-01"
}

// round notes what a round found. puts is when each entry was written. A leader
// sends what is complete.
func (t *traces) round(in actors.Input, r actors.Result, puts func(state.Key, uint64) time.Time, leads bool) {
	if t == nil || !in.Desired.Synced || !in.Observed.Synced {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.store = in.Policy.StoreID
	there := make(map[state.Key]bool, len(in.Desired.Models))
	ready := readyUnits(r.Statuses)
	for _, m := range in.Desired.Models {
		if m.Accepted == 0 {
			continue
		}
		key := state.ModelKey(m.Server, m.Name)
		there[key] = true
		j := t.at(key, m.Accepted)
		if j == nil { // the spec bucket was recreated and counts from 1 again
			delete(t.journeys, key)
			j = t.at(key, m.Accepted)
		}
		if j.over {
			continue
		}
		if j.put.IsZero() {
			j.put = puts(key, m.Accepted)
		}
		t.look(in, m, j, ready)
		if j.complete() {
			if leads && j.seen {
				t.send(key, j)
			}
			j.over, j.legs = true, nil
		}
	}
	for key := range t.journeys {
		if !there[key] {
			delete(t.journeys, key)
		}
	}
}

func readyUnits(statuses []*state.Status) map[state.UnitKey]bool {
	out := map[state.UnitKey]bool{}
	for _, s := range statuses {
		for _, p := range s.Placements {
			if p.State == "Ready" {
				out[state.UnitKey{Server: s.Server, Unit: p.Unit}] = true
			}
		}
	}
	return out
}

// look notes how far the units of a journey are.
func (t *traces) look(in actors.Input, m *actors.DesiredModel, j *journey, ready map[state.UnitKey]bool) {
	regs := in.Registered[m.Server]
	for _, u := range in.Observed.Units {
		l := j.legs[u.Unit]
		if l == nil || u.Server != m.Server || u.Model != m.Name || u.StoreID != in.Policy.StoreID {
			continue
		}
		l.follow(u)
		if l.registered.IsZero() && isRegistered(u, regs) {
			l.registered = in.Now
		}
		if l.ready.IsZero() && ready[u.Key()] {
			l.ready = in.Now
		}
	}
	if len(j.legs) == 0 {
		j.over = j.over || isReady(m) // the revision changed nothing that runs
		return
	}
	j.seen = j.seen || !j.complete() && regs.Known && in.Frontends[m.Server].Known
}

// follow notes what a unit executes.
func (l *leg) follow(u *state.Unit) {
	l.role = actors.RoleName(u.Role)
	for _, a := range u.Actors {
		if a.StartedAt.After(l.executed) { // once more: what came after the last time is void
			l.executed, l.attempt = a.StartedAt, a.Attempt
			l.registered, l.ready = time.Time{}, time.Time{}
		}
	}
}

// isRegistered reports whether the unit's lease is that of an instance.
func isRegistered(u *state.Unit, regs state.Registrations) bool {
	lease := int64(0)
	for _, a := range u.Actors {
		lease = max(lease, a.Lease)
	}
	return lease != 0 && slices.ContainsFunc(regs.Instances, func(i state.Instance) bool { return i.Lease == lease })
}

// isReady reports whether the model is ready at its accepted revision.
func isReady(m *actors.DesiredModel) bool {
	if m.Status == nil || m.Status.ObservedRevision != m.Accepted {
		return false
	}
	c, _ := m.Status.Condition(state.CondReady)
	return c.Status == state.StatusTrue
}

// complete reports whether of every role that was started one worker serves.
func (j *journey) complete() bool {
	serves := map[string]bool{}
	for _, l := range j.legs {
		serves[l.role] = serves[l.role] || !l.ready.IsZero()
	}
	for _, yes := range serves {
		if !yes {
			return false
		}
	}
	return len(serves) > 0
}
