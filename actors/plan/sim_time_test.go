package plan_test

import (
	"maps"
	"time"

	"dynctl/actors"
	"dynctl/actors/world"
	"dynctl/state"
)

// What a second does to a cluster, and what may happen in it.

// tick lets a second pass: groups are placed, processes get ready, stops end.
func (w *cluster) tick() {
	w.now = w.now.Add(time.Second)
	maps.DeleteFunc(w.gates, func(_ int64, g simGate) bool { return w.now.After(g.until) })
	w.counted = w.usedGPUs()
	for _, k := range sortedKeys(w.units) {
		u := w.units[k]
		if u.State == state.UnitStopping {
			if w.drains {
				continue
			}
			delete(w.units, k)
			w.gone[k], w.lastGone = w.next(), w.now
			w.changed = true
			continue
		}
		if u.PlacementGroup.State == "PENDING" {
			w.place(u)
		}
		if u.PlacementGroup.State == "PENDING" && w.now.Sub(w.pending[k]) >= 180*time.Second {
			u.PlacementGroup.State, u.Actors, u.State = "REMOVED", nil, state.UnitExited
			u.Reason, u.ChangedAt, u.Revision = "PlacementTimeout", w.now, w.next()
		}
		if u.PlacementGroup.State != "CREATED" {
			continue
		}
		for i := range u.Actors {
			w.advance(u, &u.Actors[i])
		}
		if world.StateOf(*u) != u.State {
			w.settleState(u)
			continue
		}
		w.next() // an agent writes what has changed, and others write meanwhile
	}
}

// usedGPUs counts what groups hold, by node.
func (w *cluster) usedGPUs() map[string]int {
	used := map[string]int{}
	for _, u := range w.units {
		for i, id := range u.PlacementGroup.Nodes {
			used[id] += u.PlacementGroup.Bundles[i].GPU
		}
	}
	return used
}

// place finds nodes as Ray would.
func (w *cluster) place(u *state.Unit) {
	var placed []*state.Unit
	for _, k := range sortedKeys(w.units) {
		if o := w.units[k]; o.PlacementGroup.State == state.GroupCreated {
			placed = append(placed, o)
		}
	}
	nodes := world.Place(u.PlacementGroup, world.Rooms(w.nodes, placed))
	if nodes == nil {
		return
	}
	*u = world.Placed(*u, nodes, func(node string) string { return "10.0.0." + node })
	u.Revision = w.next()
}

func (w *cluster) advance(u *state.Unit, a *state.Actor) {
	switch a.State {
	case state.UnitWaiting:
		if u.Unit != actors.InfraUnit && !w.infraUp(u.Server) {
			return
		}
		a.State, a.ChildPID, a.StartedAt = state.UnitStarting, int(w.next()), w.now
	case state.UnitStarting:
		if role, ok := w.brokenRole[u.Generation]; w.broken[u.Generation] || ok && role == u.Role {
			w.exit(u, a, 1)
			return
		}
		a.State, a.ReadyAt = state.UnitRunning, w.now
		if u.Unit != actors.InfraUnit && a.Bundle == 0 {
			w.lease++
			a.Lease = w.lease
			if w.instances[u.Server] == nil {
				w.instances[u.Server] = map[int64]state.Instance{}
			}
			w.instances[u.Server][a.Lease] = world.Instance("curator", u.Model, *u, a.Lease)
		}
	default:
		return
	}
	u.Revision = w.next()
}

// exit ends a process that was not asked to; its lease stays in etcd.
func (w *cluster) exit(u *state.Unit, a *state.Actor, code int) {
	ready := 0.0
	if !a.ReadyAt.IsZero() {
		ready = w.now.Sub(a.ReadyAt).Seconds()
	}
	a.Exit = &state.Exit{Attempt: a.Attempt, Code: code, Reason: "Exited", At: w.now, ReadyFor: ready}
	a.State, a.ChildPID, a.PreviousLease, a.Lease, a.ReadyAt = state.UnitExited, 0, a.Lease, 0, time.Time{}
	u.Revision = w.next()
	w.settleState(u)
}

// settleState makes the unit's state the worst of its actors'.
func (w *cluster) settleState(u *state.Unit) {
	if u.State == state.UnitStopping {
		return
	}
	u.State = world.StateOf(*u)
	u.Revision = w.next()
}

// losePlacement removes a group under its unit: the actors die with it.
func (w *cluster) losePlacement(u *state.Unit) {
	for i := range u.Actors {
		a := &u.Actors[i]
		if a.ChildPID != 0 {
			w.exit(u, a, -9)
		}
		a.State, a.Node = state.ActorDead, ""
	}
	u.PlacementGroup.State = "REMOVED"
	w.settleState(u)
}

// restartAgent puts another agent in charge, which rebuilds what it reports from Ray and
// goes on with what was under way.
func (w *cluster) restartAgent() { w.incarnation++ }
