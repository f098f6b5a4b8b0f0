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

// open begins a span; one that is open already gets the time that the new fault takes.
func (w *world) open(what string, c cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched[what] = time.Now()
	if w.spans.strike(what, c, time.Now()) {
		w.note("the span of %s opens: %s, for %.1f s at most", what, c.text, c.bound().Seconds())
	}
}

// hold grants a model that is struck the time of what is begun with it now.
func (w *world) hold(what string, c cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans.hold(what, c, time.Now())
}

// delay notes that nothing heals for a while.
func (w *world) delay(c cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans.delay(c, time.Now())
	w.note("%s", c.text)
}

// role is what the frontend migrates requests within: a role of one generation.
type role struct{ model, role, generation string }

func roleOf(u state.Unit) role { return role{u.Model, u.Role, u.Generation} }

// strike notes that a fault takes units away. A model is struck when a role of it
// has no other unit that serves; the frontend when it is among them. node is what goes
// with them; empty: it stays.
func (w *world) strike(units []state.Unit, node string, gone func(state.Unit, state.Actor) bool, c cause) {
	for _, u := range units {
		i := slices.IndexFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) })
		switch {
		case i < 0:
		case u.Unit != "infra":
			w.harm(u, node, c)
		case slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return gone(u, a) && isFrontend(a) }):
			w.strikeAll(c) // it answers on /health before it has learned of all models
		}
	}
	for _, model := range w.lastHarmed(units) {
		w.open(model, c)
	}
}

// harm notes what a fault did to a unit.
func (w *world) harm(u state.Unit, node string, c cause) {
	w.mu.Lock()
	h := harm{model: u.Model, at: time.Now(), node: node}
	if c == modelDeleted { // the spec may be back before anybody has acted
		h.until = h.at.Add(commandWait)
	}
	w.harmed[u.Unit] = h
	w.touched[u.Model] = h.at
	w.mu.Unlock()
	w.note("%s is harmed: %s, attempt %d, node %s", u.Unit, c.text, u.Actors[0].Attempt, node)
}

// lastHarmed are the models of which a role has nothing left but what was harmed, be it
// that other units of it have left since.
func (w *world) lastHarmed(units []state.Unit) (models []string) {
	serving := w.serving(units)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range units {
		if _, hit := w.harmed[u.Unit]; hit && serving[roleOf(u)] == 0 {
			models = append(models, u.Model)
		}
	}
	return models
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
		w.awaitAnew("ETCD", a, etcdKilled)
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
		w.strikeAll(natsAlone)
	}
	serving := w.serving(units)
	for _, u := range units {
		if u.Unit != "infra" && serving[roleOf(u)] <= 1 {
			w.open(u.Model, natsKilled)
		}
	}
}

// awaitNATS keeps every span open until NATS has come back, where it carries requests.
func (w *world) awaitNATS(units []state.Unit) {
	if a, err := actorOf(units, "NATS"); err == nil && w.cfg.plane == "nats" {
		w.awaitAnew("NATS", a, natsKilled)
	}
}

// awaitInfra keeps every span open until all of infra has come back. What is to go serves
// on for some seconds: a frontend ends when Ray takes its raylet for dead.
func (w *world) awaitInfra(units []state.Unit, c cause) {
	w.awaitNATS(units)
	if a, err := actorOf(units, "Frontend"); err == nil {
		w.awaitAnew("Frontend", a, c)
	}
}

// strikeAll notes that no model can be served.
func (w *world) strikeAll(c cause) {
	w.open(frontendSpan, c)
	w.mu.Lock()
	names := slices.Sorted(maps.Keys(w.fleet))
	w.mu.Unlock()
	for _, name := range names {
		if w.fleet[name].servable {
			w.open(name, c)
		}
	}
}

// watchSpans closes spans until ctx ends: none before settle is over, and each at its limit.
func (w *world) watchSpans(ctx context.Context) {
	for ctx.Err() == nil {
		for _, what := range w.grown() {
			path := "/v1/models/" + what + "/ready"
			if what == frontendSpan {
				path = "/health"
			}
			if !w.executedAnew(ctx) || !w.answers(ctx, path) || what != frontendSpan && !w.whole(ctx, what) {
				continue
			}
			w.mu.Lock()
			w.spans.end(what, time.Now())
			w.mu.Unlock()
			w.note("the span of %s closes", what)
		}
		w.mu.Lock()
		late := w.spans.expire(time.Now())
		w.mu.Unlock()
		for _, s := range late {
			w.problem("%s has not come back %.1f s after: %s", s.what, s.to.Sub(s.from).Seconds(), s.cause.text)
			w.note("the span of %s is late", s.what)
			w.forgetLate(s.what)
		}
		w.forgetHarm(ctx)
		time.Sleep(pollPeriod)
	}
}

// grown are the open spans that are old enough for their fault to have shown.
func (w *world) grown() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(w.spans.open)) {
		if time.Since(w.spans.open[what].from) >= settle+margin {
			out = append(out, what)
		}
	}
	return out
}

// catchUp is how long the frontend takes after the start of each to send requests to
// whom it can.
var catchUp = map[string]time.Duration{"Frontend": settle, "NATS": natsWait, "ETCD": etcdWait}

// awaitAnew keeps every span open until etcd, NATS or the frontend runs a later attempt
// than this one, and the frontend has caught up.
func (w *world) awaitAnew(label string, a state.Actor, c cause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anew[label] = awaited{label, a.StartedAt}
	for what := range w.spans.open {
		w.spans.hold(what, c, time.Now())
	}
}

// executedAnew reports whether nothing is awaited, or no longer, and no node hangs.
func (w *world) executedAnew(ctx context.Context) bool {
	w.mu.Lock()
	anew, hung := maps.Clone(w.anew), w.hung
	w.mu.Unlock()
	if hung {
		return false
	}
	for label, a := range anew {
		runs, units, _, err := w.infraActor(ctx, label)
		if err != nil {
			return false // asked again soon
		}
		frontend, _ := actorOf(units, "Frontend") // none: it has not caught up by itself
		if !a.over(runs, frontend, time.Now()) {
			return false
		}
		w.mu.Lock()
		if w.anew[label] == a {
			delete(w.anew, label)
		}
		w.mu.Unlock()
	}
	return true
}

// whole reports whether every role of a model has a unit that can serve: a stopped worker
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
	for _, model := range w.lastHarmed(units) {
		if !w.isOpen(model) { // it is no new fault
			w.open(model, lastKilled)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, h := range w.harmed {
		i := slices.IndexFunc(units, func(u state.Unit) bool { return u.Unit == id })
		if i < 0 || h.over(units[i], time.Now()) {
			delete(w.harmed, id)
			w.note("%s is harmed no more: number %d of %d units", id, i, len(units))
		}
	}
}

// forgetLate takes the harm of a model back whose time is over: it excuses nothing more.
func (w *world) forgetLate(model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.harmed, func(_ string, h harm) bool { return h.model == model })
}

func (w *world) isOpen(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spans.open[what] != nil
}
