package main

import (
	"maps"
	"math"
	"slices"

	"dynctl/actors"
	placement "dynctl/actors/place"
	"dynctl/actors/plan"
	simulated "dynctl/actors/world"
	"dynctl/state"
)

// maxSteps bounds a forecast; a roll of one replica takes two.
const maxSteps = 400

// forecast plays the planner forward on a copy of what is observed, as if all went
// well: what is started becomes ready, what is stopped goes. No time passes, so
// what waits for a time (a backoff, a held delete) waits to the end.
type forecast struct {
	world *world
	in    actors.Input
	lease int64
	free  map[string]state.BundleShape // by node
	// steps are the rounds that do something; last is the one after them.
	steps []actors.Result
	last  actors.Result
	// more reports whether the bound was reached.
	more bool
}

// foresee plays from what an input says.
func (w *world) foresee(in actors.Input) *forecast {
	own := *w
	own.observed.Units = slices.Clone(w.observed.Units)
	own.observed.Nodes = slices.Clone(w.observed.Nodes)
	f := &forecast{world: &own, in: in, lease: math.MaxInt64, free: map[string]state.BundleShape{}}
	f.measure()
	for range maxSteps {
		f.see()
		f.last = plan.Plan(f.in)
		acts := len(f.last.Starts)+len(f.last.Stops)+len(f.last.Sweeps) > 0
		if acts {
			f.steps = append(f.steps, f.last)
		}
		if moved := f.apply(); !acts && !moved {
			return f
		}
	}
	f.more = true
	return f
}

// see makes the planner's input of the world as it is now.
func (f *forecast) see() {
	for i := range f.world.observed.Nodes {
		n := &f.world.observed.Nodes[i]
		if left, ok := f.free[n.ID]; ok {
			gpus, cpus := float64(left.GPU), float64(left.CPU)
			n.FreeGPUs, n.FreeCPUs = &gpus, &cpus
		}
	}
	f.in.Observed = f.world.observed
	f.in.Registered, f.in.Frontends = maps.Clone(f.in.Registered), maps.Clone(f.in.Frontends)
	for _, s := range f.in.Desired.Servers {
		f.in.Registered[s.Name], f.in.Frontends[s.Name] = f.world.serving(s, f.in.Desired.Models)
	}
}

// measure counts what is free: Ray's word, or the total less what our units hold.
func (f *forecast) measure() {
	for _, n := range f.world.observed.Nodes {
		f.free[n.ID] = state.BundleShape{CPU: n.CPUs, GPU: n.GPUs}
	}
	for _, u := range f.world.observed.Units {
		f.move(*u, -1)
	}
	for _, n := range f.world.observed.Nodes {
		left := f.free[n.ID]
		if n.FreeGPUs != nil {
			left.GPU = min(left.GPU, int(math.Floor(*n.FreeGPUs)))
		}
		if n.FreeCPUs != nil {
			left.CPU = min(left.CPU, int(math.Floor(*n.FreeCPUs)))
		}
		f.free[n.ID] = left
	}
}

// move gives back (+1) or takes (-1) what the bundles of a unit hold.
func (f *forecast) move(u state.Unit, sign int) {
	for id, b := range simulated.Used(u) {
		if left, ok := f.free[id]; ok {
			f.free[id] = state.BundleShape{CPU: left.CPU + sign*b.CPU, GPU: left.GPU + sign*b.GPU}
		}
	}
}

// apply carries the last round out, lets what is under way end, and reports whether
// anything has changed.
func (f *forecast) apply() (moved bool) {
	gone, still := map[state.UnitKey]bool{}, map[state.UnitKey]bool{}
	for _, s := range f.last.Stops {
		gone[s.Key] = true
	}
	for _, s := range f.last.Sweeps {
		gone[s.Key] = true
	}
	for _, w := range f.last.Waits {
		still[w.Key] = w.Reason == actors.ReasonWaitingForNodes
	}
	units := &f.world.observed.Units
	*units = slices.DeleteFunc(*units, func(u *state.Unit) bool {
		if gone[u.Key()] || u.State == state.UnitStopping {
			f.move(*u, +1)
			moved = true
			return true
		}
		return false
	})
	for _, s := range f.last.Starts {
		f.start(s)
	}
	for i, u := range *units {
		if u.StoreID == f.world.storeID && u.State != state.UnitExited && !still[u.Key()] {
			(*units)[i] = new(f.ready(*u, &moved))
		}
	}
	return moved
}

// start makes a unit, or executes what a start names in one that is there.
func (f *forecast) start(s actors.Start) {
	t, units := s.Template, &f.world.observed.Units
	var was *state.Unit
	i := slices.IndexFunc(*units, func(u *state.Unit) bool { return u.Server == t.Server && u.Unit == t.Unit })
	if i >= 0 {
		was = (*units)[i]
	}
	u := simulated.Started(was, s, f.world.storeID)
	if u.PlacementGroup.State == state.GroupPending {
		if was != nil {
			f.move(*was, +1)
		}
		u.Incarnation = f.world.observed.Agent.Incarnation
		u = simulated.Placed(u, simulated.Place(u.PlacementGroup, f.rooms()), func(string) string { return "" })
		f.move(u, -1)
	}
	if u.State = state.UnitStarting; i < 0 {
		*units = append(*units, &u)
		return
	}
	(*units)[i] = &u
}

// rooms is what is free of each node.
func (f *forecast) rooms() []placement.Room {
	rooms := make([]placement.Room, len(f.world.observed.Nodes))
	for i, n := range f.world.observed.Nodes {
		rooms[i] = placement.Room{Node: n, FreeGPUs: f.free[n.ID].GPU, FreeCPUs: f.free[n.ID].CPU}
	}
	return rooms
}

// ready is a unit whose processes have started and registered.
func (f *forecast) ready(u state.Unit, moved *bool) state.Unit {
	u.Actors = slices.Clone(u.Actors)
	for i := range u.Actors {
		a := &u.Actors[i]
		if a.Bundle == 0 && a.Lease == 0 && u.Model != "" {
			a.Lease = f.lease
			f.lease--
			*moved = true
		}
		if a.State != state.UnitRunning {
			a.State, a.ReadyAt = state.UnitRunning, f.world.now
			*moved = true
		}
	}
	if u.State != state.UnitRunning {
		u.State = state.UnitRunning
		*moved = true
	}
	return u
}
