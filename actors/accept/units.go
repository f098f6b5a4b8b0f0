package accept

import (
	"slices"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/same"
)

// unitIndex are the observed units by the object that they are of. It is brought to what
// changes, unit by unit: to go through all of them in each round for the sake of one or two
// objects would cost the fleet.
type unitIndex struct {
	all []*state.Unit // that it was brought to
	of  map[state.Key][]*state.Unit
	on  map[string]int // how many a server has, whoever they are of
}

// follow brings it to units, and returns the objects of which some have changed. Units in any
// order are told apart as well, only not as cheaply.
func (x *unitIndex) follow(units []*state.Unit) (moved []state.Key) {
	if x.of == nil {
		x.of, x.on = make(map[state.Key][]*state.Unit, len(units)), map[string]int{}
	}
	same.DiffPointers(x.all, units, (*state.Unit).Compare, func(was, now *state.Unit) {
		if was != nil {
			moved = append(moved, ownerOf(was))
			x.drop(was)
		}
		if now != nil {
			moved = append(moved, ownerOf(now))
			x.add(now)
		}
	})
	x.all = units
	return moved
}

func (x *unitIndex) add(u *state.Unit) {
	key := ownerOf(u)
	x.of[key] = append(x.of[key], u)
	x.on[u.Server]++
}

func (x *unitIndex) drop(u *state.Unit) {
	key := ownerOf(u)
	if i := slices.Index(x.of[key], u); i >= 0 {
		x.of[key] = slices.Delete(x.of[key], i, i+1)
	}
	if len(x.of[key]) == 0 {
		delete(x.of, key)
	}
	if x.on[u.Server]--; x.on[u.Server] == 0 {
		delete(x.on, u.Server)
	}
}

// ownerOf is the object that a unit is of: its infra is a server's.
func ownerOf(u *state.Unit) state.Key {
	if u.Unit == actors.InfraUnit {
		return state.ServerKey(u.Server)
	}
	return state.ModelKey(u.Server, u.Model)
}

// unitsOf are the observed units of an object, whichever store's they are.
func (a *accepter) unitsOf(key state.Key) []*state.Unit { return a.memo.units.of[key] }

// hasUnitsOn reports whether any unit of a server is observed.
func (a *accepter) hasUnitsOn(server string) bool { return a.memo.units.on[server] > 0 }

// generationsOf counts the units of ours of an object by their generation; those of a
// server are its infra.
func (a *accepter) generationsOf(key state.Key) map[string]int {
	out := map[string]int{}
	for _, u := range a.unitsOf(key) {
		if a.in.StoreID == "" || u.StoreID == a.in.StoreID {
			out[u.Generation]++
		}
	}
	return out
}
