package plan

import (
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// makeRoom lets old units go for new ones that find no room beside them: the smallest set,
// in the order in which they can be spared, that the vetoes admit and that is enough. The
// rules, first match wins:
//
//  1. Ray has not counted yet what has just ended, and that may be enough: wait
//  2. nothing of the new generation would fit in the room of all old units: nothing goes,
//     and the roll stalls with the numbers
//  3. what of it is being stopped anyway leaves enough: wait
//  4. old units that serve nobody leave enough: these go
//  5. maxUnavailable is 0: the roll stalls
//  6. those that get no request leave enough, with those of rule 4: these go
//  7. those within the budget leave enough for one: these go, unless nothing would serve
//     then and rule 10 leaves something that does
//  8. all generations have the same one role: the roll stalls
//  9. all that could go would not be enough: the roll stalls
//  10. otherwise as few units as are enough go, those of rule 4 first, then down to one of
//     each role, then the generation as a whole
//
// decided: it waits, or has let some go. unplaceable: rule 2 applied.
func (a *admission) makeRoom(short []shortfall) (decided, unplaceable bool) {
	if len(short) == 0 {
		return false, false
	}
	if a.awaitsCount(short) { // rule 1
		return true, false
	}
	need, unfit := a.placeable(short)
	if unfit != nil { // rule 2
		a.m.stalled = a.whyUnplaceable(short, unfit)
		return false, true
	}
	if set, ok := a.enough(need, a.idle()); ok { // rules 3 and 4
		a.grant(set, leaveIdleRoom)
		a.reserve(need)
		return true, false
	}
	full := func(s shortfall) bool { return s.unfit == nil && a.m.surge() > 0 }
	if without := slices.DeleteFunc(slices.Clone(need), full); len(without) > 0 {
		need = without
	} else if len(a.admit(replaced, proposeReplaced(a.m), 0)) > 0 {
		return false, false // one goes as it is, and its place is free
	}
	return a.letGo(need), false
}

// letGo lets units go that serve.
func (a *admission) letGo(need []shortfall) bool {
	if a.m.nothingMayBeMissing() { // rule 5 of makeRoom
		a.m.stalled = "no GPU is free for a replica beside the old ones, and maxUnavailable is 0" + missingText(need)
		return false
	}
	if set, ok := a.enough(need, a.withIdle(proposeUnchosen(a.m))); ok { // rule 6 of makeRoom
		a.grant(a.admit(wholePieces, set, 0), leaveIdleRoom)
		a.reserve(need)
		return true
	}
	set := a.admit(makesRoom, proposeReplaced(a.m), a.m.maxUnavailable(1))
	fewer, enough := a.enough(need, a.withIdle(proposePieces(a.m)))
	switch {
	case len(set) > 0 && a.enoughForOne(need, set): // rule 7 of makeRoom
		if enough && !a.servesWithout(set) && a.servesWithout(fewer) {
			set = a.admit(wholePieces, fewer, 0)
		}
	case !a.m.disagg() && len(a.m.strays) == 0: // rule 8 of makeRoom
		a.m.stalled = "no GPU is free for a replica beside the old ones, and as many as may be missing are not enough to make room" + missingText(need)
		return false
	case !enough: // rule 9 of makeRoom
		a.m.stalled = "no GPU is free for the new generation beside the old one" + missingText(need)
		return false
	default: // rule 10 of makeRoom
		set = a.admit(wholePieces, fewer, 0)
	}
	a.grant(set, leaveForRoom)
	a.reserve(need)
	return true
}

// servesWithout reports whether old units that requests reach, one of each role of their
// generation, are left when some go.
func (a *admission) servesWithout(set []*unit) bool {
	left := map[string]map[string]bool{} // roles by generation
	for _, u := range a.m.units {
		if u.standing != old || a.leaving[u] || !a.carries(u) || slices.Contains(set, u) {
			continue
		}
		if left[u.Generation] == nil {
			left[u.Generation] = map[string]bool{}
		}
		left[u.Generation][u.Role] = true
	}
	for _, roles := range left {
		if roles[state.RoleAggregated] || roles[state.RolePrefill] && roles[state.RoleDecode] {
			return true
		}
	}
	return false
}

// reserve keeps what is free for the shortfalls until what was stopped for them has gone,
// so that no model which is served later takes it.
func (a *admission) reserve(need []shortfall) {
	nodes := a.roomWithout(nil)
	for _, s := range need {
		if shape, unfit := place.Worker(s.role.Needs, nodes); unfit == nil {
			a.ledger.promise(shape)
			nodes = shape.Take(nodes)
		}
	}
}

// rayCountLag is how far Ray's count of free resources may be behind the end of a unit: a
// second by its own clock, more on a busy node.
const rayCountLag = 5 * time.Second

// awaitsCount reports whether a shortfall finds room once Ray has counted what units that
// ended a moment ago have given back.
func (a *admission) awaitsCount(short []shortfall) bool {
	return slices.ContainsFunc(short, func(s shortfall) bool { return s.unfit != nil && a.fitsOnceCounted(s.role.Needs) })
}

func (a *admission) fitsOnceCounted(needs actors.Needs) bool {
	until := a.in.Observed.LastGone.Add(rayCountLag)
	if !until.After(a.in.Now) {
		return false
	}
	var granted []place.Shape
	for _, k := range a.order {
		if shape, ok := a.asked[k]; ok && a.stops[k] == nil {
			granted = append(granted, shape)
		}
	}
	if _, unfit := place.Worker(needs, a.ledger.counted(granted)); unfit != nil {
		return false
	}
	a.checkAt(until)
	return true
}

// whyUnplaceable says why a generation finds no room: others that come first may wait for
// what the old one would leave.
func (a *admission) whyUnplaceable(short []shortfall, unfit *place.Unfit) string {
	waiting := a.ledger.waiting
	a.ledger.waiting = nil
	_, alone := a.placeable(short)
	a.ledger.waiting = waiting
	if alone == nil {
		return "the room of the old generation would go to a model that comes first, by priority and name, and waits for it" + missingText(short)
	}
	return "the new generation cannot be placed, not even in the room of the old one: " + unfit.Message
}

func missingText(need []shortfall) string {
	for _, s := range need {
		if s.unfit != nil {
			return ": " + s.unfit.Message
		}
	}
	return ""
}

// placeable is what of the shortfalls would fit in the room of all old units; if nothing
// would, why not. Roles without any unit come first and count together, for one alone
// serves nobody.
func (a *admission) placeable(short []shortfall) ([]shortfall, *place.Unfit) {
	room := a.roomWithout(a.old())
	first := slices.DeleteFunc(slices.Clone(short), func(s shortfall) bool { return count(s.role.fresh, a.placed) > 0 })
	if len(first) > 0 {
		return first, fit(first, room)
	}
	var none *place.Unfit
	for _, s := range short {
		unfit := fit([]shortfall{s}, room)
		if unfit == nil {
			return []shortfall{s}, nil
		}
		if none == nil {
			none = unfit
		}
	}
	return nil, none
}

// fit lays out one unit of each shortfall; if that is not possible it says why.
func fit(need []shortfall, nodes []place.Room) *place.Unfit {
	for _, s := range need {
		shape, unfit := place.Worker(s.role.Needs, nodes)
		if unfit != nil {
			return unfit
		}
		nodes = shape.Take(nodes)
	}
	return nil
}

// enoughForOne reports whether one shortfall is over with the room of some units.
func (a *admission) enoughForOne(need []shortfall, set []*unit) bool {
	return slices.ContainsFunc(need, func(s shortfall) bool { return a.over([]shortfall{s}, set) })
}

// over reports whether shortfalls are no more when some units go: they find room, and where
// the count is full one of the role goes.
func (a *admission) over(need []shortfall, set []*unit) bool {
	for _, s := range need {
		same := func(u *unit) bool { return u.Role == s.role.Role }
		if s.unfit == nil && !slices.ContainsFunc(set, same) {
			return false
		}
	}
	return fit(need, a.roomWithout(set)) == nil
}

// enough takes groups of units, in their order, until the shortfalls are over, and leaves
// out those that it could do without. None may be needed: what is being stopped leaves
// room too.
func (a *admission) enough(need []shortfall, groups [][]*unit) (set []*unit, ok bool) {
	n := 0
	for !a.over(need, slices.Concat(groups[:n]...)) {
		if n == len(groups) {
			return nil, false
		}
		n++
	}
	taken := slices.Clone(groups[:n])
	for i := len(taken) - 1; i >= 0; i-- {
		if rest := slices.Delete(slices.Clone(taken), i, i+1); a.over(need, slices.Concat(rest...)) {
			taken = rest
		}
	}
	return slices.Concat(taken...), true
}

// idle are the old units that serve nobody, each as a group of its own.
func (a *admission) idle() [][]*unit {
	units := a.notLeaving(proposeIdle(a.m))
	out := make([][]*unit, 0, len(units))
	for _, u := range units {
		out = append(out, []*unit{u})
	}
	return out
}

func (a *admission) notLeaving(units []*unit) []*unit {
	return slices.DeleteFunc(units, func(u *unit) bool { return a.leaving[u] })
}

// withIdle are groups of units that serve, without those that this round stops already,
// behind those that serve nobody: what makes room for one role may not be of another role
// whose count is full of such.
func (a *admission) withIdle(groups [][]*unit) [][]*unit {
	out := a.idle()
	for _, group := range groups {
		if group = a.notLeaving(group); len(group) > 0 {
			out = append(out, group)
		}
	}
	return out
}

// old are the model's units of other generations.
func (a *admission) old() []*unit {
	return which(a.m.units, func(u *unit) bool { return u.standing == old })
}

// roomWithout is the room that is left for a model when some of its units have left, besides
// those of it that are being stopped, and when who comes first has taken what it waits for.
// What others stop is not counted on: they may have stopped it for their own.
func (a *admission) roomWithout(set []*unit) []place.Room {
	leave := map[state.UnitKey]bool{}
	for _, u := range set {
		leave[u.Key()] = true
	}
	nodes := a.ledger.without(func(u *state.Unit) bool {
		if u.Server != a.m.Server || u.Model != a.m.Name {
			return false
		}
		return leave[u.Key()] || u.State == state.UnitStopping || a.stops[u.Key()] != nil || unplaced(u)
	})
	for _, s := range a.ledger.waiting {
		if s.model == a.m {
			continue
		}
		if shape, unfit := place.Worker(s.needs, nodes); unfit == nil {
			nodes = shape.Take(nodes)
		}
	}
	return nodes
}
