package actors

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dynctl/state"
)

// makeRoom lets old units go for new ones that find none beside them. The rules,
// first match wins:
//
//  1. nothing of the new generation would fit in the room of all old units: nothing
//     goes, and the roll stalls with the numbers
//  2. what of it is being stopped anyway leaves enough: wait
//  3. old units that do not run leave enough: these go
//  4. maxUnavailable is 0: the roll stalls
//  5. those within the budget leave enough for one: these go
//  6. generations of several roles, or of other ones than the new: as few units as
//     are enough, down to one of each role; then the generation as a whole
//  7. otherwise the roll stalls
//
// Before all of them: what a unit that has just ended gave back may be enough, and Ray
// has not counted it yet. made says that it waits or has let some go; hopeless that
// rule 1 applied.
func (p *planner) makeRoom(m *modelView, lacks []lack) (made, hopeless bool) {
	if len(lacks) == 0 {
		return false, false
	}
	if p.rayCountsTheGone(lacks) {
		return true, false
	}
	need, unfit := p.placeable(m, lacks)
	if unfit != nil {
		m.stalled = p.hopelessness(m, lacks, unfit)
		return false, true
	}
	if out, ok := p.enough(m, need, groupsOf(m.idle())); ok {
		for _, v := range out {
			p.stopUnit(m, v.Unit, ReasonMakeRoom, "it does not serve, and a replica of the new generation needs its place")
		}
		p.reserve(m, need)
		return true, false
	}
	full := func(l lack) bool { return l.unfit == nil && m.surge() > 0 }
	if without := slices.DeleteFunc(slices.Clone(need), full); len(without) > 0 {
		need = without
	} else if len(p.withinBudget(m, 0, false)) > 0 {
		return false, false // one goes as it is, and its place is free
	}
	return p.letGo(m, need), false
}

// rayCountLag is how far Ray's count of free resources may be behind the end of a unit:
// a second by its own clock, more on a busy node.
const rayCountLag = 5 * time.Second

// rayCountsTheGone reports whether a lack finds room once Ray has counted what units that
// ended a moment ago have given back.
func (p *planner) rayCountsTheGone(lacks []lack) bool {
	until := p.in.Observed.LastGone.Add(rayCountLag)
	if !until.After(p.in.Now) {
		return false
	}
	nodes := slices.Clone(p.in.Observed.Nodes)
	for i := range nodes {
		nodes[i].FreeGPUs, nodes[i].FreeCPUs = nil, nil
	}
	room := newRoom(nodes, p.in.Observed.Units)
	for _, s := range p.out.Starts {
		if !p.asked[state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}] {
			continue // in the group that it has
		}
		for _, b := range s.Template.PlacementGroup.Bundles {
			room.takeAnywhere(b)
		}
	}
	for _, l := range lacks {
		if l.unfit != nil && fit([]lack{l}, room.nodes) == nil {
			p.checkAt(until)
			return true
		}
	}
	return false
}

// hopelessness says why a generation finds no room: others that come first may wait for
// what the old one would leave.
func (p *planner) hopelessness(m *modelView, lacks []lack, unfit *Unfit) string {
	claims := p.claims
	p.claims = nil
	_, alone := p.placeable(m, lacks)
	p.claims = claims
	if alone == nil {
		return "the room of the old generation would go to a model that comes first, by priority and name, and waits for it" + why(lacks)
	}
	return "the new generation cannot be placed, not even in the room of the old one: " + unfit.Message
}

// letGo applies rules 4 to 7, to units that serve.
func (p *planner) letGo(m *modelView, need []lack) bool {
	unavailable := 1
	if u := m.Spec.Update.MaxUnavailable; u != nil {
		unavailable = *u
	}
	if unavailable == 0 {
		m.stalled = "no GPU is free for a replica beside the old ones, and maxUnavailable is 0" + why(need)
		return false
	}
	out := p.withinBudget(m, unavailable, true)
	if len(out) == 0 || !p.enoughForOne(m, need, out) {
		var ok bool
		if !m.disagg() && len(m.stray) == 0 {
			m.stalled = "no GPU is free for a replica beside the old ones, and as many as may be missing are not enough to make room" + why(need)
			return false
		}
		if out, ok = p.enough(m, need, m.pieces()); !ok {
			m.stalled = "no GPU is free for the new generation beside the old one" + why(need)
			return false
		}
		out = m.decodeLast(out)
	}
	for _, v := range out {
		p.stopUnit(m, v.Unit, ReasonMakeRoom, "no GPU is free for a replica beside this one")
	}
	p.reserve(m, need)
	return true
}

// reserve keeps what is free for the lacks until what was stopped for them has gone, so
// that no model which is served later takes it.
func (p *planner) reserve(m *modelView, need []lack) {
	nodes := p.roomWithout(m, nil)
	for _, l := range need {
		if shape, unfit := ChooseShape(l.role.Needs, nodes); unfit == nil {
			p.room.commit(shape)
			nodes = shape.Take(nodes)
		}
	}
}

// claim is a unit of a model that found no room in this round.
type claim struct {
	model *modelView
	needs Needs
}

func why(need []lack) string {
	for _, l := range need {
		if l.unfit != nil {
			return ": " + l.unfit.Message
		}
	}
	return ""
}

// placeable is what of the lacks would fit in the room of all old units; if nothing
// would, why not. Roles without any unit come first and count together, for one alone
// serves nobody.
func (p *planner) placeable(m *modelView, lacks []lack) ([]lack, *Unfit) {
	all := m.oldUnits()
	first := slices.DeleteFunc(slices.Clone(lacks), func(l lack) bool { return countIf(l.role.fresh, placed) > 0 })
	if len(first) > 0 {
		return first, fit(first, p.roomWithout(m, all))
	}
	var out []lack
	var unfit *Unfit
	for _, l := range lacks {
		if u := fit([]lack{l}, p.roomWithout(m, all)); u == nil {
			out = append(out, l)
		} else if unfit == nil {
			unfit = u
		}
	}
	if len(out) > 0 {
		return out[:1], nil
	}
	return nil, unfit
}

// fit lays out one unit of each lack; if that is not possible it says why.
func fit(lacks []lack, nodes []NodeRoom) *Unfit {
	for _, l := range lacks {
		shape, unfit := ChooseShape(l.role.Needs, nodes)
		if unfit != nil {
			return unfit
		}
		nodes = shape.Take(nodes)
	}
	return nil
}

// enoughForOne says that with the room of some units one lack is at an end.
func (p *planner) enoughForOne(m *modelView, need []lack, out []unitView) bool {
	return slices.ContainsFunc(need, func(l lack) bool { return p.atAnEnd(m, []lack{l}, out) })
}

// atAnEnd says that the lacks are no more when some units go: they find room, and where
// the count is full one of the role goes.
func (p *planner) atAnEnd(m *modelView, need []lack, out []unitView) bool {
	for _, l := range need {
		role := func(v unitView) bool { return v.Role == l.role.Role }
		if l.unfit == nil && !slices.ContainsFunc(out, role) {
			return false
		}
	}
	return fit(need, p.roomWithout(m, out)) == nil
}

// enough takes groups of units, in their order, until the lacks are at an end, and
// leaves out those that it could do without. None may be needed: what is being stopped
// leaves room too.
func (p *planner) enough(m *modelView, need []lack, groups [][]unitView) (out []unitView, ok bool) {
	n := 0
	for !p.atAnEnd(m, need, slices.Concat(groups[:n]...)) {
		if n == len(groups) {
			return nil, false
		}
		n++
	}
	taken := slices.Clone(groups[:n])
	for i := len(taken) - 1; i >= 0; i-- {
		if rest := slices.Delete(slices.Clone(taken), i, i+1); p.atAnEnd(m, need, slices.Concat(rest...)) {
			taken = rest
		}
	}
	return slices.Concat(taken...), true
}

// idle are the old units that serve nobody: first those that do not run, then, where
// something may be missing, those that run and are not registered.
func (m *modelView) idle() []unitView {
	old := lastFirst(m.oldUnits())
	out := slices.DeleteFunc(slices.Clone(old), func(v unitView) bool { return v.stopping || v.running })
	if u := m.Spec.Update.MaxUnavailable; u != nil && *u == 0 {
		return out
	}
	return append(out, slices.DeleteFunc(old, func(v unitView) bool { return v.stopping || !v.running || v.serving() })...)
}

func groupsOf(units []unitView) [][]unitView {
	out := make([][]unitView, 0, len(units))
	for _, v := range units {
		out = append(out, []unitView{v})
	}
	return out
}

// pieces are the serving old units in the order in which they can be spared: those
// beyond one of each role, one by one, then what is left of each generation at once.
// The generation that serves least goes first.
func (m *modelView) pieces() [][]unitView {
	by := map[string][]unitView{}
	for _, v := range lastFirst(m.oldUnits()) {
		if v.serving() {
			by[v.Generation] = append(by[v.Generation], v)
		}
	}
	generations := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(by[a]), len(by[b])), cmp.Compare(a, b))
	})
	var spare, whole [][]unitView
	for _, g := range generations {
		left := map[string]int{}
		for _, v := range by[g] {
			left[v.Role]++
		}
		var rest []unitView
		for _, v := range by[g] {
			switch {
			case v.Role == state.RoleAggregated || left[v.Role] > 1:
				spare = append(spare, []unitView{v})
				left[v.Role]--
			default:
				rest = append(rest, v)
			}
		}
		if len(rest) > 0 {
			whole = append(whole, rest)
		}
	}
	return append(spare, whole...)
}

// roomWithout is the room that is left for a model when some of its units are gone,
// besides those of it that are being stopped, and when who comes first has taken what it
// waits for. What others stop is not counted on: they may have stopped it for their own.
func (p *planner) roomWithout(m *modelView, out []unitView) []NodeRoom {
	gone := map[state.UnitKey]bool{}
	for _, v := range out {
		gone[v.Key()] = true
	}
	nodes := p.roomLess(func(u state.Unit) bool {
		mine := u.Server == m.Server && u.Model == m.Name
		return gone[u.Key()] || mine && (u.State == state.UnitStopping || p.ending(u.Key()) || unplaced(u))
	})
	for _, c := range p.claims {
		if c.model == m {
			continue
		}
		if shape, unfit := ChooseShape(c.needs, nodes); unfit == nil {
			nodes = shape.Take(nodes)
		}
	}
	return nodes
}

// roomLess is the room that is left without some units.
func (p *planner) roomLess(gone func(state.Unit) bool) []NodeRoom {
	given := map[string]state.BundleShape{}
	var left []state.Unit
	for _, u := range p.in.Observed.Units {
		if !gone(u) {
			left = append(left, u)
			continue
		}
		for b, shape := range u.PlacementGroup.Bundles {
			id := nodeOf(u, b)
			given[id] = state.BundleShape{GPU: given[id].GPU + shape.GPU, CPU: given[id].CPU + shape.CPU}
		}
	}
	nodes := slices.Clone(p.in.Observed.Nodes)
	for i := range nodes {
		n := &nodes[i]
		n.FreeGPUs, n.FreeCPUs = more(n.FreeGPUs, given[n.ID].GPU), more(n.FreeCPUs, given[n.ID].CPU)
	}
	room := newRoom(nodes, left).nodes
	for i := range room { // what this round has promised already
		room[i].FreeGPUs -= p.before[i].FreeGPUs - p.room.nodes[i].FreeGPUs
		room[i].FreeCPUs -= p.before[i].FreeCPUs - p.room.nodes[i].FreeCPUs
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
