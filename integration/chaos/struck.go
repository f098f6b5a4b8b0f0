package main

import (
	"context"
	"maps"
	"slices"
	"strings"
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
		w.note("the span of %s opens: %s", what, why)
		w.struck[what] = &span{what: what, why: why, from: time.Now().Add(-margin)}
	}
}

// role is what the frontend migrates requests within: a role of one generation.
type role struct{ model, role, generation string }

func roleOf(u state.Unit) role { return role{u.Model, u.Role, u.Generation} }

// strike notes that a fault takes units away. A model is struck when a role of it
// has no other unit that serves; the frontend when it is among them. node is what goes
// with them; empty: it stays.
func (w *world) strike(units []state.Unit, node string, gone func(state.Unit, state.Actor) bool, why string) {
	for _, u := range units {
		i := slices.IndexFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) })
		switch {
		case i < 0:
		case u.Unit != "infra":
			w.harm(u, node, why)
		case slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) && isFrontend(a) }):
			w.strikeAll(why) // it answers on /health before it has learned of all models
		}
	}
	w.strikeLast(units, why)
}

// harm notes what a fault did to a unit.
func (w *world) harm(u state.Unit, node, why string) {
	w.mu.Lock()
	w.harmed[u.Unit] = harm{time.Now(), node}
	w.mu.Unlock()
	w.note("%s is harmed: %s, attempt %d, node %s", u.Unit, why, u.Actors[0].Attempt, node)
}

// strikeLast notes that none of a role is left but what was harmed, be it that other
// units of it have left since.
func (w *world) strikeLast(units []state.Unit, why string) {
	serving := w.serving(units)
	w.mu.Lock()
	last := slices.DeleteFunc(slices.Clone(units), func(u state.Unit) bool {
		_, hit := w.harmed[u.Unit]
		return !hit || serving[roleOf(u)] > 0
	})
	w.mu.Unlock()
	for _, u := range last {
		w.open(u.Model, why)
	}
}

// serving counts by role the units that can serve: registered, long enough
// for the frontend to know, and not struck by a fault that has yet to show.
func (w *world) serving(units []state.Unit) map[role]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[role]int{}
	for _, u := range units {
		if _, harmed := w.harmed[u.Unit]; !harmed && u.State == state.UnitRunning && u.Actors[0].Lease != 0 && time.Since(u.Actors[0].ReadyAt) > settle {
			out[roleOf(u)]++
		}
	}
	return out
}

// strikeService notes what the death of etcd or NATS does to the frontend and to workers.
func (w *world) strikeService(a state.Actor, units []state.Unit, agent state.Agent) {
	switch {
	case strings.HasSuffix(a.Name, "_Dynamo_NATS"):
		w.strikeSingles(units, agent)
	case strings.HasSuffix(a.Name, "_Dynamo_ETCD"):
		w.awaitAnew("ETCD", a.Attempt)
	}
}

// strikeSingles notes that NATS is killed. With the request plane nats what was on the
// wire is lost, and the frontend sets that worker aside for 5 s when it has waited for it:
// it shows where a role has no other. While no agent is there NATS is not executed again,
// and carries nothing.
func (w *world) strikeSingles(units []state.Unit, agent state.Agent) {
	if w.cfg.plane != "nats" {
		return
	}
	w.awaitNATS(units)
	if !agent.Synced || agent.Incarnation <= w.agentEnd {
		w.strikeAll("NATS killed, while no agent is there")
	}
	serving := w.serving(units)
	for _, u := range units {
		if u.Unit != "infra" && serving[roleOf(u)] <= 1 {
			w.open(u.Model, "NATS killed, with one worker")
		}
	}
}

// awaitNATS keeps every span open until NATS has come back, where it carries requests.
func (w *world) awaitNATS(units []state.Unit) {
	if a, err := actorOf(units, "NATS"); err == nil && w.cfg.plane == "nats" {
		w.awaitAnew("NATS", a.Attempt)
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
			w.note("the span of %s closes", what)
		}
		w.forgetHarm(ctx)
		time.Sleep(pollPeriod)
	}
}

// catchUp is how long the frontend takes after the start of each to send requests to
// whom it can, as docs/dynamo.md says: of NATS, 10 s until it gives up what was on the
// wire, and 5 s for which it sets a worker aside.
var catchUp = map[string]time.Duration{"Frontend": settle, "NATS": 16 * time.Second, "ETCD": 15 * time.Second}

// awaitAnew keeps every span open until etcd, NATS or the frontend runs a later attempt
// than this one, and the frontend has caught up.
func (w *world) awaitAnew(label string, attempt int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anew[label] = attempt
}

// executedAnew says that nothing is awaited, or no longer.
func (w *world) executedAnew(ctx context.Context) bool {
	w.mu.Lock()
	anew := maps.Clone(w.anew)
	w.mu.Unlock()
	for label, attempt := range anew {
		a, units, _, err := w.infraActor(ctx, label)
		if err != nil || a.Attempt <= attempt {
			return false // asked again soon
		}
		f, err := actorOf(units, "Frontend")
		fresh := label == "ETCD" && err == nil && f.StartedAt.After(a.StartedAt) && time.Since(f.StartedAt) > settle
		if time.Since(a.StartedAt) < catchUp[label] && !fresh {
			return false
		}
		w.mu.Lock()
		delete(w.anew, label)
		w.mu.Unlock()
	}
	return true
}

// whole says that every role of a model has a unit that can serve: a stopped worker
// is listed until it is found to hang.
func (w *world) whole(ctx context.Context, name string) bool {
	units, _, err := w.observed(ctx)
	if err != nil {
		return false // asked again soon
	}
	count := map[string]int{}
	for r, n := range w.serving(units) {
		if r.model == name {
			count[r.role] += n
		}
	}
	w.mu.Lock()
	disagg := w.fleet[name].disagg
	w.mu.Unlock()
	if disagg {
		return count[state.RolePrefill] > 0 && count[state.RoleDecode] > 0
	}
	return count[state.RoleAggregated] > 0
}

// forgetHarm takes back the harm of units that are gone, or run again.
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
	w.strikeLast(units, "the last of its generation was killed")
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, h := range w.harmed {
		i := slices.IndexFunc(units, func(u state.Unit) bool { return u.Unit == id })
		if i < 0 || len(units[i].Actors) > 0 && units[i].Actors[0].StartedAt.After(h.at) && units[i].Actors[0].Node != h.node {
			delete(w.harmed, id)
			w.note("%s is harmed no more: number %d of %d units", id, i, len(units))
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
