package plan

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// ledger says what room is left on the nodes while wishes are admitted: what units hold,
// what this round has promised, and what those that came before wait for.
type ledger struct {
	reported []state.Node  // as Ray tells them
	units    []*state.Unit // by server and id
	held     *holding      // by them
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

func newLedger(nodes []state.Node, units []*state.Unit, held *holding) *ledger {
	return &ledger{reported: nodes, units: units, held: held}
}

// room is what is left of the nodes beside what units hold and what was promised.
func (l *ledger) room() []place.Room {
	if l.begin == nil {
		l.begin = roomOn(l.reported, l.held)
		l.left = slices.Clone(l.begin)
	}
	return l.left
}

// promise takes the room of a shape that was granted. A shape that does not fit now takes
// none.
func (l *ledger) promise(s place.Shape) { s.TakeFrom(l.room()) }

// without is the room that is left when some units have left, and what this round has
// promised is taken.
func (l *ledger) without(leaves func(*state.Unit) bool) []place.Room {
	given, stay := map[string]state.BundleShape{}, newHolding()
	for _, u := range l.units {
		if !leaves(u) {
			stay.take(u)
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
	room, left := roomOn(nodes, &stay), l.room()
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
	room := roomOn(nodes, l.held)
	for _, s := range granted {
		for _, b := range s.Bundles {
			takeAnywhere(room, b)
		}
	}
	return room
}

// roomOn is what is free on each node, by id: what units hold is taken, and then what those
// hold whose nodes are not known yet, where it would fit first; a bundle whose node died
// holds nothing, since its replacement may have the room. Ray's own word on what is free is
// a second old at most, so the smaller of the two counts.
func roomOn(nodes []state.Node, held *holding) []place.Room {
	room := make([]place.Room, 0, len(nodes))
	for _, n := range slices.SortedFunc(slices.Values(nodes), func(a, b state.Node) int { return cmp.Compare(a.ID, b.ID) }) {
		on := held.on[n.ID]
		room = append(room, place.Room{Node: n, FreeGPUs: n.GPUs - on.GPU, FreeCPUs: n.CPUs - on.CPU})
	}
	for _, bundles := range held.inOrder() {
		for _, b := range bundles {
			takeAnywhere(room, b)
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

// holding is what units hold. It is brought to what changes, unit by unit, and not made anew
// in each round.
type holding struct {
	on map[string]state.BundleShape // of each node, by id
	// adrift are the bundles whose nodes are not known yet.
	adrift map[state.UnitKey][]state.BundleShape
}

func newHolding() holding {
	return holding{map[string]state.BundleShape{}, map[state.UnitKey][]state.BundleShape{}}
}

func holdingOf(units []*state.Unit) holding {
	h := newHolding()
	for _, u := range units {
		h.take(u)
	}
	return h
}

// take adds what a unit holds, of which nothing is in it yet.
func (h *holding) take(u *state.Unit) { h.add(u, 1) }

// give takes that back.
func (h *holding) give(u *state.Unit) {
	h.add(u, -1)
	delete(h.adrift, u.Key())
}

func (h *holding) add(u *state.Unit, times int) {
	if u.PlacementGroup.State == state.GroupRemoved {
		return
	}
	for b, shape := range u.PlacementGroup.Bundles {
		switch id := u.NodeOf(b); {
		case id != "":
			on := h.on[id]
			on.GPU, on.CPU = on.GPU+times*shape.GPU, on.CPU+times*shape.CPU
			if h.on[id] = on; on == (state.BundleShape{}) {
				delete(h.on, id)
			}
		case times > 0 && u.PlacementGroup.State != state.GroupRescheduling:
			h.adrift[u.Key()] = append(h.adrift[u.Key()], shape)
		}
	}
}

// inOrder are the bundles that are adrift, by unit.
func (h *holding) inOrder() [][]state.BundleShape {
	var out [][]state.BundleShape
	for _, key := range slices.SortedFunc(maps.Keys(h.adrift), state.UnitKey.Compare) {
		out = append(out, h.adrift[key])
	}
	return out
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
