package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"dynctl/state"
)

// A span opens when a fault leaves nothing that could serve, and closes when the
// frontend answers again, or names the model as ready. margin is what is added on
// both sides: what was under way when it closed had met it.
const (
	margin     = time.Second
	pollPeriod = 100 * time.Millisecond
)

// open begins a span; one that is open already stays.
func (w *world) open(what, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.struck[what] == nil {
		w.struck[what] = &span{what: what, why: why, from: time.Now().Add(-margin)}
	}
}

// strike notes that a fault takes units away. A model is struck when a role of it
// has no other unit that serves; the frontend when it is among them.
func (w *world) strike(units []state.Unit, gone func(state.Unit, state.Actor) bool, why string) {
	serving, hit := map[string]int{}, map[string]bool{}
	for _, u := range units {
		if u.Unit == "infra" {
			for _, a := range u.Actors {
				if gone(u, a) && isFrontend(a) {
					w.strikeAll(why) // it answers on /health before it has learned of all models
				}
			}
			continue
		}
		key := u.Model + "/" + u.Role
		if slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) }) {
			hit[key] = true
			w.mu.Lock()
			w.harmed[u.Unit] = true
			w.mu.Unlock()
			continue
		}
		w.mu.Lock()
		harmed := w.harmed[u.Unit]
		w.mu.Unlock()
		if u.State == state.UnitRunning && u.Actors[0].Lease != 0 && !harmed {
			serving[key]++
		}
	}
	for _, u := range units {
		if key := u.Model + "/" + u.Role; hit[key] && serving[key] == 0 {
			w.open(u.Model, why)
		}
	}
}

// strikeAll notes that no model can be served.
func (w *world) strikeAll(why string) {
	w.open(frontendSpan, why)
	w.mu.Lock()
	names := slices.Sorted(maps.Keys(w.fleet))
	w.mu.Unlock()
	for _, name := range names {
		w.open(name, why)
	}
}

// watchSpans closes spans until ctx ends. A span is kept open for settle, so that
// a fault which takes a moment to show is not closed before it does.
func (w *world) watchSpans(ctx context.Context) {
	const settle = 2 * time.Second
	for ctx.Err() == nil {
		w.mu.Lock()
		open := slices.Sorted(maps.Keys(w.struck))
		w.mu.Unlock()
		for _, what := range open {
			path := "/v1/models/" + what + "/ready"
			if what == frontendSpan {
				path = "/health"
			}
			w.mu.Lock()
			young := time.Since(w.struck[what].from) < settle+margin
			w.mu.Unlock()
			if young || !w.answers(ctx, path) {
				continue
			}
			w.mu.Lock()
			s := *w.struck[what]
			s.to = time.Now().Add(margin)
			w.spans = append(w.spans, s)
			delete(w.struck, what)
			w.mu.Unlock()
		}
		w.forgetHarm(ctx)
		time.Sleep(pollPeriod)
	}
}

// forgetHarm takes back the harm of units that run a newer attempt.
func (w *world) forgetHarm(ctx context.Context) {
	w.mu.Lock()
	none := len(w.harmed) == 0
	w.mu.Unlock()
	if none {
		return
	}
	units, _, err := w.observed(ctx)
	if err != nil {
		return // asked again soon
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.harmed {
		i := slices.IndexFunc(units, func(u state.Unit) bool { return u.Unit == id })
		if i < 0 || units[i].State == state.UnitRunning && units[i].Actors[0].Lease != 0 && time.Since(units[i].Actors[0].ReadyAt) < time.Minute &&
			units[i].Actors[0].ReadyAt.After(w.faultAt()) {
			delete(w.harmed, id)
		}
	}
}

// faultAt is when the last fault began.
func (w *world) faultAt() time.Time {
	if len(w.faults) == 0 {
		return w.began
	}
	return w.faults[len(w.faults)-1].at
}

// excuse is why a request may have failed; empty: it may not.
func (w *world) excuse(r request) string {
	for _, s := range w.spans {
		if (s.what == frontendSpan || s.what == r.model) && r.to.After(s.from) && r.from.Before(s.to) {
			return s.why
		}
	}
	return ""
}
