package world

import (
	"cmp"
	"slices"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// Started is what a start makes of a unit: was, or nil where it does not exist. A unit
// whose group stands keeps it, and the actors in it; else it waits for another. An actor
// is executed where the start names a higher attempt, and is left as it is otherwise.
func Started(was *state.Unit, s actors.Start, storeID string) state.Unit {
	t := s.Template
	u := state.Unit{Server: t.Server, Unit: t.Unit, Model: t.Model, Role: t.Role, Replica: t.Replica, Worker: t.Worker,
		Generation: t.Generation, StoreID: storeID, PlacementGroup: t.PlacementGroup}
	u.PlacementGroup.State, u.PlacementGroup.Nodes = state.GroupPending, nil
	if was != nil && was.PlacementGroup.State == state.GroupCreated && was.PlacementGroup.Name == t.PlacementGroup.Name {
		u = *was
	}
	u.Digest, u.Restart, u.Attempt, u.Failures = t.Digest, t.Restart, s.Placement.Number, s.Placement.Failures
	had := u.Actors
	u.Actors = make([]state.Actor, 0, len(t.Actors))
	for _, a := range t.Actors {
		actor := state.Actor{Name: a.Name, Bundle: a.Bundle, State: state.UnitPending}
		if i := slices.IndexFunc(had, func(x state.Actor) bool { return x.Name == a.Name }); i >= 0 {
			actor = had[i]
		}
		if n, ok := s.Attempts[a.Name]; ok && n.Number > actor.Attempt {
			actor = executed(actor, a, n)
		}
		u.Actors = append(u.Actors, actor)
	}
	return u
}

// executed is an actor whose process is about to be restarted. Its last exit is
// remembered; what it had registered is not its own any more.
func executed(a state.Actor, t actors.ActorTemplate, n actors.Attempt) state.Actor {
	a = state.Actor{Name: a.Name, Bundle: a.Bundle, Node: a.Node, IP: a.IP, PID: a.PID, State: state.UnitWaiting,
		Attempt: n.Number, Failures: n.Failures, Digest: t.Digest, Exit: a.Exit, Ports: map[string]int{}}
	for _, p := range t.Ports {
		a.Ports[p.Name] = p.Seed
	}
	return a
}

// Placed is a unit whose group has found its nodes, one for each bundle.
func Placed(u state.Unit, nodes []string, address func(node string) string) state.Unit {
	u.PlacementGroup.State, u.PlacementGroup.Nodes = state.GroupCreated, nodes
	u.Actors = slices.Clone(u.Actors)
	for i := range u.Actors {
		if b := u.Actors[i].Bundle; b < len(nodes) {
			u.Actors[i].Node, u.Actors[i].IP = nodes[b], address(nodes[b])
		}
	}
	return u
}

// Place finds nodes for the bundles of a group as Ray does, the fullest first; nil: it
// finds none now.
func Place(group state.PlacementGroup, rooms []place.Room) []string {
	rooms = slices.Clone(rooms)
	slices.SortStableFunc(rooms, func(a, b place.Room) int { return cmp.Compare(a.FreeGPUs, b.FreeGPUs) })
	fits := func(n place.Room, b state.BundleShape) bool {
		return n.Alive && n.FreeGPUs >= b.GPU && n.FreeCPUs >= b.CPU
	}
	if group.Strategy == place.StrictPack {
		var all state.BundleShape
		for _, b := range group.Bundles {
			all.CPU += b.CPU
			all.GPU += b.GPU
		}
		i := slices.IndexFunc(rooms, func(n place.Room) bool { return fits(n, all) })
		if i < 0 {
			return nil
		}
		return slices.Repeat([]string{rooms[i].ID}, len(group.Bundles))
	}
	var chosen []string
	for _, b := range group.Bundles {
		i := slices.IndexFunc(rooms, func(n place.Room) bool { return fits(n, b) && !slices.Contains(chosen, n.ID) })
		if i < 0 {
			return nil
		}
		chosen = append(chosen, rooms[i].ID)
	}
	return chosen
}

// Used is what the bundles of a unit take, by node, as far as that is known.
func Used(u state.Unit) map[string]state.BundleShape {
	used := map[string]state.BundleShape{}
	for i, b := range u.PlacementGroup.Bundles {
		if id := u.NodeOf(i); id != "" {
			h := used[id]
			used[id] = state.BundleShape{CPU: h.CPU + b.CPU, GPU: h.GPU + b.GPU}
		}
	}
	return used
}

// Rooms is what is left of the nodes beside the units.
func Rooms(nodes []state.Node, units []*state.Unit) []place.Room {
	used := map[string]state.BundleShape{}
	for _, u := range units {
		for id, b := range Used(*u) {
			used[id] = state.BundleShape{CPU: used[id].CPU + b.CPU, GPU: used[id].GPU + b.GPU}
		}
	}
	rooms := make([]place.Room, len(nodes))
	for i, n := range nodes {
		rooms[i] = place.Room{Node: n, FreeGPUs: n.GPUs - used[n.ID].GPU, FreeCPUs: n.CPUs - used[n.ID].CPU}
	}
	return rooms
}

// StateOf is the state of a unit that is not stopping: the worst of its actors'.
func StateOf(u state.Unit) state.UnitState {
	order := []state.UnitState{state.ActorDead, state.UnitExited, state.UnitPending, state.UnitPlacing, state.UnitWaiting, state.UnitStarting, state.UnitRunning}
	worst := len(order) - 1
	for _, a := range u.Actors {
		worst = min(worst, slices.Index(order, a.State))
	}
	if order[worst] == state.ActorDead {
		return state.UnitExited
	}
	return order[worst]
}
