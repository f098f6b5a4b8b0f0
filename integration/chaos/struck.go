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
	settle     = 2 * time.Second // what a fault takes to show
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
	hit := map[string]bool{}
	for _, u := range units {
		i := slices.IndexFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) })
		switch {
		case i < 0:
		case u.Unit != "infra":
			hit[u.Model+"/"+u.Role] = true
			w.mu.Lock()
			w.harmed[u.Unit] = u.Actors[0].Attempt
			w.mu.Unlock()
		case slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) && isFrontend(a) }):
			w.strikeAll(why) // it answers on /health before it has learned of all models
		}
	}
	serving := w.serving(units)
	for _, u := range units {
		if key := u.Model + "/" + u.Role; hit[key] && serving[key] == 0 {
			w.open(u.Model, why)
		}
	}
}

// serving counts by "model/role" the units that can serve: registered, long enough
// for the frontend to know, and not struck by a fault that has yet to show.
func (w *world) serving(units []state.Unit) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for _, u := range units {
		if _, harmed := w.harmed[u.Unit]; !harmed && u.State == state.UnitRunning && u.Actors[0].Lease != 0 && time.Since(u.Actors[0].ReadyAt) > settle {
			out[u.Model+"/"+u.Role]++
		}
	}
	return out
}

// strikeSingles notes that NATS is killed. With the request plane nats the frontend may
// be back before a worker is, and sets that worker aside for 5 s: it shows where a role
// has no other.
func (w *world) strikeSingles(units []state.Unit) {
	if w.cfg.plane != "nats" {
		return
	}
	serving := w.serving(units)
	for _, u := range units {
		if u.Unit != "infra" && serving[u.Model+"/"+u.Role] <= 1 {
			w.open(u.Model, "NATS killed, with one worker")
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
		if w.fleet[name].servable {
			w.open(name, why)
		}
	}
}

// watchSpans closes spans until ctx ends, none before settle is over.
func (w *world) watchSpans(ctx context.Context) {
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
			if young || !w.executedAnew(ctx) || !w.answers(ctx, path) || what != frontendSpan && !w.whole(ctx, what) {
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

// awaitAnew keeps every span open until the frontend runs a later attempt than this
// one: before that what was lost has yet to show.
func (w *world) awaitAnew(attempt int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anew = attempt
}

// executedAnew says that nothing is awaited, or no longer.
func (w *world) executedAnew(ctx context.Context) bool {
	w.mu.Lock()
	attempt := w.anew
	w.mu.Unlock()
	if attempt == 0 {
		return true
	}
	a, _, err := w.infraActor(ctx, "Frontend")
	if err != nil || a.Attempt <= attempt || time.Since(a.StartedAt) < settle {
		return false // asked again soon
	}
	w.awaitAnew(0)
	return true
}

// whole says that every role of a model has a unit that can serve: a stopped worker
// is listed until it is found to hang.
func (w *world) whole(ctx context.Context, name string) bool {
	units, _, err := w.observed(ctx)
	if err != nil {
		return false // asked again soon
	}
	serving := w.serving(units)
	w.mu.Lock()
	disagg := w.fleet[name].disagg
	w.mu.Unlock()
	if disagg {
		return serving[name+"/"+state.RolePrefill] > 0 && serving[name+"/"+state.RoleDecode] > 0
	}
	return serving[name+"/"+state.RoleAggregated] > 0
}

// forgetHarm takes back the harm of units that are gone or run a newer attempt.
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
	for id, attempt := range w.harmed {
		i := slices.IndexFunc(units, func(u state.Unit) bool { return u.Unit == id })
		if i < 0 || len(units[i].Actors) > 0 && units[i].Actors[0].Attempt > attempt {
			delete(w.harmed, id)
		}
	}
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
