package plan

import (
	"slices"

	"dynctl/actors/place"
	"dynctl/state"
)

// phase is where a unit stands, as it is observed.
type phase int

const (
	// coming: it exists and its processes are not all healthy: it is placed, starts,
	// waits for what it needs, or has exited.
	coming phase = iota
	// idle: it runs, and Dynamo's etcd does not have it, or does not answer.
	idle
	// serving: it runs and is registered: requests may reach it.
	serving
	// lost: neither a group nor an actor of it is left.
	lost
	// leaving: it is being stopped.
	leaving
)

// standing is what a unit is to its model.
type standing int

const (
	// wanted: of the generation in force, with an index within the count.
	wanted standing = iota
	// surplus: of the generation in force, with an index beyond the count.
	surplus
	// old: of another generation.
	old
)

// unit is a unit with what was concluded of it. It does not change in a round.
type unit struct {
	*state.Unit
	namespace string // of its generation in Dynamo
	phase     phase
	standing  standing
	// registered: its instance (and card) stands in Dynamo's etcd. listed: the frontend
	// names its generation with all types.
	registered, listed bool
}

func (u *unit) is(p phase) bool { return u.phase == p }

// running reports whether every process of the unit is healthy.
func (u *unit) running() bool { return u.State == state.UnitRunning }

// ready reports whether the unit counts for a roll.
func (u *unit) ready() bool { return u.phase == serving && u.listed }

// stays reports whether nobody has asked the unit to end.
func (u *unit) stays() bool { return u.phase != leaving }

// placed reports whether the unit has, or is to get, a group.
func (u *unit) placed() bool { return u.phase != leaving && u.phase != lost }

// everReady reports whether some attempt of the unit has been healthy.
func (u *unit) everReady() bool {
	for _, a := range u.Actors {
		if !a.ReadyAt.IsZero() || a.Exit != nil && a.Exit.ReadyFor > 0 {
			return true
		}
	}
	return false
}

// failed reports whether an execution or the placement of the unit has failed so often
// in a row.
func (u *unit) failed(times int) bool {
	if unplaced(u.Unit) && u.Failures >= times {
		return true
	}
	return slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return a.Failures >= times })
}

// phaseOf classifies a unit by what is observed of it.
func phaseOf(u *state.Unit, registered bool) phase {
	switch {
	case u.State == state.UnitStopping:
		return leaving
	case u.State == state.UnitRunning && registered:
		return serving
	case u.State == state.UnitRunning:
		return idle
	case unplaced(u):
		return lost
	}
	return coming
}

// unplaced reports whether neither a group nor an actor of the unit is left.
func unplaced(u *state.Unit) bool {
	if u.State != state.UnitExited {
		return false
	}
	if slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return a.State != state.ActorDead }) {
		return false
	}
	switch u.PlacementGroup.State {
	case "", state.GroupRemoved, state.GroupRescheduling, state.GroupInfeasible:
		return true
	}
	return false
}

// stranded reports whether the group of a unit lost a node with part of its ranks. The
// others wait for a peer that is gone, and keep Ray from giving the group up.
func stranded(u *state.Unit) bool {
	dead := func(a state.Actor) bool { return a.State == state.ActorDead }
	return u.State != state.UnitStopping && u.PlacementGroup.State == state.GroupRescheduling &&
		slices.ContainsFunc(u.Actors, dead) && !unplaced(u)
}

// leaseOf is the Dynamo instance id of a unit: that of its first rank.
func leaseOf(u *state.Unit) int64 {
	for i := range u.Actors {
		if a := &u.Actors[i]; a.Bundle == 0 && a.State == state.UnitRunning {
			return a.Lease
		}
	}
	return 0
}

// findActor is the actor of that name; nil: the unit has none.
func findActor(u *state.Unit, name string) *state.Actor {
	for i := range u.Actors {
		if a := &u.Actors[i]; a.Name == name {
			return a
		}
	}
	return nil
}

// shapeOf is the shape that a unit keeps for its life.
func shapeOf(u *state.Unit) place.Shape {
	return place.Shape{Bundles: u.PlacementGroup.Bundles, Strategy: u.PlacementGroup.Strategy, Selector: u.PlacementGroup.Selector}
}
