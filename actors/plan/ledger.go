package plan

import (
	"cmp"
	"math"
	"slices"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// ledger says what room is left on the nodes while wishes are admitted: what units hold,
// what this round has promised, and what those that came before wait for.
type ledger struct {
	reported []state.Node // as Ray tells them
	units    []state.Unit // by server and id
	// begin is the room before this round has promised any, left what is left of it; nil
	// until it is asked for, for most rounds start nothing.
	begin, left []place.Room
	waiting     []shortage
}

// shortage is a unit of a model that found no room in this round: its model came first, so
// what becomes free is its.
type shortage struct {
	model *model
	needs actors.Needs
}

func newLedger(nodes []state.Node, units []state.Unit) *ledger {
	return &ledger{reported: nodes, units: units}
}

// room is what is left of the nodes beside what units hold and what was promised.
func (l *ledger) room() []place.Room {
	if l.begin == nil {
		l.begin = roomOn(l.reported, l.units)
		l.left = slices.Clone(l.begin)
	}
	return l.left
}

// promise takes the room of a shape that was granted. A shape that does not fit now takes
// none.
func (l *ledger) promise(s place.Shape) { s.TakeFrom(l.room()) }

// without is the room that is left when some units have left, and what this round has
// promised is taken.
func (l *ledger) without(leaves func(state.Unit) bool) []place.Room {
	given := map[string]state.BundleShape{}
	var stay []state.Unit
	for _, u := range l.units {
		if !leaves(u) {
			stay = append(stay, u)
			continue
		}
		for b, shape := range u.PlacementGroup.Bundles {
			id := u.NodeOf(b)
			given[id] = state.BundleShape{GPU: given[id].GPU + shape.GPU, CPU: given[id].CPU + shape.CPU}
		}
	}
	nodes := slices.Clone(l.reported)
	for i := range nodes {
		n := &nodes[i]
		n.FreeGPUs, n.FreeCPUs = more(n.FreeGPUs, given[n.ID].GPU), more(n.FreeCPUs, given[n.ID].CPU)
	}
	room, left := roomOn(nodes, stay), l.room()
	for i := range room {
		room[i].FreeGPUs -= l.begin[i].FreeGPUs - left[i].FreeGPUs
		room[i].FreeCPUs -= l.begin[i].FreeCPUs - left[i].FreeCPUs
	}
	return room
}

// more adds to what Ray says is free, where it says so.
func more(free *float64, given int) *float64 {
	if free == nil {
		return nil
	}
	sum := *free + float64(given)
	return &sum
}

// counted is the room as it will be once Ray has counted what has ended: by what units
// hold alone, and with what was granted.
func (l *ledger) counted(granted []place.Shape) []place.Room {
	nodes := slices.Clone(l.reported)
	for i := range nodes {
		nodes[i].FreeGPUs, nodes[i].FreeCPUs = nil, nil
	}
	room := roomOn(nodes, l.units)
	for _, s := range granted {
		for _, b := range s.Bundles {
			takeAnywhere(room, b)
		}
	}
	return room
}

// roomOn is what is free on each node, by id: what units hold is taken. A unit whose nodes
// are not known yet is counted where it would fit first; a bundle whose node died holds
// nothing, since its replacement may have the room. Ray's own word on what is free is a
// second old at most, so the smaller of the two counts.
func roomOn(nodes []state.Node, units []state.Unit) []place.Room {
	room := make([]place.Room, 0, len(nodes))
	index := make(map[string]int, len(nodes))
	for _, n := range slices.SortedFunc(slices.Values(nodes), func(a, b state.Node) int { return cmp.Compare(a.ID, b.ID) }) {
		index[n.ID] = len(room)
		room = append(room, place.Room{Node: n, FreeGPUs: n.GPUs, FreeCPUs: n.CPUs})
	}
	for _, u := range units {
		if u.PlacementGroup.State == state.GroupRemoved {
			continue
		}
		for b, shape := range u.PlacementGroup.Bundles {
			id := u.NodeOf(b)
			i, known := index[id]
			switch {
			case known:
				take(room, i, shape)
			case id == "" && u.PlacementGroup.State != state.GroupRescheduling:
				takeAnywhere(room, shape)
			}
		}
	}
	for i := range room {
		n := &room[i]
		if n.Node.FreeGPUs != nil {
			n.FreeGPUs = min(n.FreeGPUs, int(math.Floor(*n.Node.FreeGPUs)))
		}
		if n.Node.FreeCPUs != nil {
			n.FreeCPUs = min(n.FreeCPUs, int(math.Floor(*n.Node.FreeCPUs)))
		}
		n.FreeGPUs, n.FreeCPUs = max(n.FreeGPUs, 0), max(n.FreeCPUs, 0)
	}
	return room
}

func take(room []place.Room, i int, b state.BundleShape) {
	room[i].FreeGPUs -= b.GPU
	room[i].FreeCPUs -= b.CPU
}

// takeAnywhere takes from the first node with room; if there is none, from the one with
// most, for the group waits there and came first.
func takeAnywhere(room []place.Room, b state.BundleShape) {
	most := -1
	for i, n := range room {
		if !n.Alive {
			continue
		}
		if n.FreeGPUs >= b.GPU && n.FreeCPUs >= b.CPU {
			take(room, i, b)
			return
		}
		if most < 0 || n.FreeGPUs > room[most].FreeGPUs {
			most = i
		}
	}
	if most >= 0 {
		take(room, most, b)
	}
}
