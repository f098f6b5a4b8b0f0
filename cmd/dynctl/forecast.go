package main

import (
	"maps"
	"math"
	"slices"

	"dynctl/actors"
	placement "dynctl/actors/place"
	"dynctl/actors/plan"
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
	// more says that the bound was reached.
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
		f.move(u, -1)
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
	for i, b := range u.PlacementGroup.Bundles {
		id := ""
		if i < len(u.PlacementGroup.Nodes) {
			id = u.PlacementGroup.Nodes[i]
		}
		for _, a := range u.Actors {
			if id == "" && a.Bundle == i {
				id = a.Node
			}
		}
		if left, ok := f.free[id]; ok {
			f.free[id] = state.BundleShape{CPU: left.CPU + sign*b.CPU, GPU: left.GPU + sign*b.GPU}
		}
	}
}

// apply carries the last round out, lets what is under way end, and says whether
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
	*units = slices.DeleteFunc(*units, func(u state.Unit) bool {
		if gone[u.Key()] || u.State == state.UnitStopping {
			f.move(u, +1)
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
			(*units)[i] = f.ready(u, &moved)
		}
	}
	return moved
}

// start makes a unit, or executes what a start names in one that is there.
func (f *forecast) start(s actors.Start) {
	t, units := s.Template, &f.world.observed.Units
	i := slices.IndexFunc(*units, func(u state.Unit) bool { return u.Server == t.Server && u.Unit == t.Unit })
	if i >= 0 && (*units)[i].PlacementGroup.Name != t.PlacementGroup.Name {
		f.move((*units)[i], +1)
		*units, i = slices.Delete(*units, i, i+1), -1
	}
	if i < 0 {
		group := t.PlacementGroup
		group.Nodes = f.place(group)
		*units = append(*units, state.Unit{
			Incarnation: f.world.observed.Agent.Incarnation, Server: t.Server, Unit: t.Unit, Model: t.Model, Role: t.Role, Replica: t.Replica,
			Generation: t.Generation, Worker: t.Worker, StoreID: f.world.storeID, PlacementGroup: group,
		})
		i = len(*units) - 1
		f.move((*units)[i], -1)
	}
	u := (*units)[i]
	u.State, u.Digest, u.Restart, u.Attempt, u.Failures = state.UnitStarting, t.Digest, t.Restart, s.Placement.Number, s.Placement.Failures
	u.PlacementGroup.State = "CREATED"
	was := u.Actors
	u.Actors = nil
	for _, a := range t.Actors {
		actor := state.Actor{Name: a.Name, Bundle: a.Bundle}
		if j := slices.IndexFunc(was, func(x state.Actor) bool { return x.Name == a.Name }); j >= 0 {
			actor = was[j]
		}
		if a.Bundle < len(u.PlacementGroup.Nodes) {
			actor.Node = u.PlacementGroup.Nodes[a.Bundle]
		}
		if n, ok := s.Attempts[a.Name]; ok && n.Number > actor.Attempt {
			actor.State, actor.Attempt, actor.Digest, actor.Exit, actor.Lease, actor.Uses = state.UnitStarting, n.Number, a.Digest, nil, 0, nil
		}
		u.Actors = append(u.Actors, actor)
	}
	(*units)[i] = u
}

// place finds nodes for a group, the fullest first; nil: Ray would find none now.
func (f *forecast) place(group state.PlacementGroup) []string {
	free := maps.Clone(f.free)
	nodes := slices.Clone(f.world.observed.Nodes)
	slices.SortStableFunc(nodes, func(a, b state.Node) int { return free[a.ID].GPU - free[b.ID].GPU })
	var chosen []string
	for _, b := range group.Bundles {
		for _, n := range nodes {
			left := free[n.ID]
			taken := slices.Contains(chosen, n.ID)
			if !n.Alive || left.GPU < b.GPU || left.CPU < b.CPU || taken != (group.Strategy == placement.StrictPack && len(chosen) > 0) {
				continue
			}
			free[n.ID] = state.BundleShape{CPU: left.CPU - b.CPU, GPU: left.GPU - b.GPU}
			chosen = append(chosen, n.ID)
			break
		}
	}
	if len(chosen) < len(group.Bundles) {
		return nil
	}
	return chosen
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
