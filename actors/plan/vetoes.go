package plan

import (
	"slices"

	"dynctl/state"
)

// veto is a reason for which units may not leave, or be restarted on purpose, now. The
// table holds in its order: each veto takes from a set of wishes what it does not allow,
// and the next one sees what is left.
type veto struct {
	name string
	on   []rule
	// applies reports whether nothing of the set may leave; says is what a roll that stalls
	// for it says, empty where it passes by itself.
	applies func(a *admission) bool
	says    string
	// keep is what of a set may leave.
	keep func(a *admission, set []*unit, unavailable int) []*unit
}

var vetoes = []veto{
	{name: "who is registered is not known", on: []rule{unwantedRole, makesRoom, wholePieces, replaced},
		applies: func(a *admission) bool { return !a.m.server.regs.Known },
		says:    "Dynamo's etcd does not answer, so nothing that serves is stopped"},
	{name: "who serves is not known", on: []rule{restarted, unwantedRole, makesRoom, wholePieces, replaced},
		applies: func(a *admission) bool { return a.m.unheard() }},
	{name: "what runs may serve", on: []rule{servesNobody}, keep: (*admission).notRunning},
	// docs/dynamo.md, "When etcd is executed again": who leaves then still gets requests.
	{name: "the frontend is behind", on: []rule{restarted, unwantedRole, makesRoom, wholePieces, replaced},
		applies: (*admission).frontendBehind},
	{name: "no others serve in their place", on: []rule{beyondCount}, keep: (*admission).spare},
	{name: "the new set is not ready", on: []rule{unwantedRole}, applies: func(a *admission) bool { return !a.newSetReady() }},
	{name: "the old ones serve alone", on: []rule{replaced}, keep: (*admission).beyondAlone},
	{name: "more would be missing than may", on: []rule{makesRoom, replaced}, keep: (*admission).withinBudget},
	// docs/dynamo.md, "Between generations": a namespace with one role only serves nobody.
	{name: "half a generation would be left", on: []rule{makesRoom, replaced}, keep: (*admission).inPairs},
	// What a prefill worker has prefilled needs a decode worker of its generation.
	{name: "a prefill worker of it drains", on: []rule{unwantedRole, wholePieces, makesRoom, replaced}, keep: (*admission).decodeLast},
}

// admit puts a set of wishes before the vetoes, and returns those that none of them holds
// up. For those that have a budget, so many replicas may be missing.
func (a *admission) admit(why rule, set []*unit, unavailable int) []*unit {
	if a.admitsNone(why) || len(set) == 0 {
		return nil
	}
	set = slices.DeleteFunc(set, func(u *unit) bool { return a.leaving[u] })
	for _, v := range vetoes {
		if v.keep != nil && slices.Contains(v.on, why) {
			set = v.keep(a, set, unavailable)
		}
	}
	return set
}

// admitsNone reports whether a veto holds for whatever is wished for by a rule.
func (a *admission) admitsNone(why rule) bool {
	for _, v := range vetoes {
		if v.applies != nil && slices.Contains(v.on, why) && v.applies(a) {
			if v.says != "" {
				a.m.stalled = v.says
			}
			return true
		}
	}
	return false
}

// frontendBehind reports whether the frontend may not hear yet of a worker that leaves.
func (a *admission) frontendBehind() bool {
	return !frontendBehind(a.m.server, a.in.Now).IsZero()
}

// waitForFrontend asks for a round when the frontend has caught up.
func (a *admission) waitForFrontend() { a.checkAt(frontendBehind(a.m.server, a.in.Now)) }

func (a *admission) notRunning(set []*unit, _ int) []*unit {
	if a.m.server.regs.Known {
		return set
	}
	return slices.DeleteFunc(set, (*unit).running)
}

// mayServe reports whether requests may reach a unit, as far as that is known.
func (a *admission) mayServe(u *unit) bool {
	return a.serving(u) || u.is(idle) && !a.leaving[u] && !a.m.server.regs.Known
}

// spare keeps, of replicas of one role beyond the count, those that do not serve, and as
// many others as serve beyond the count, so that one that serves stays until as many
// others do as are wanted. A replica that fails again and again, or that waits for its
// room, is not waited for.
func (a *admission) spare(set []*unit, _ int) []*unit {
	if len(set) == 0 {
		return nil
	}
	r := a.m.role(set[0].Role)
	n := 0
	if (a.m.server.regs.Known || r.count == 0) && !a.frontendBehind() {
		chosen := func(u *unit) bool { return a.mayServe(u) && !a.m.unchosen(u) }
		n = count(r.fresh, chosen) + count(r.old, chosen) - r.count + a.notWaitedFor(r)
	}
	return slices.DeleteFunc(set, func(u *unit) bool {
		if !a.mayServe(u) {
			return false
		}
		n--
		return n < 0
	})
}

// newSetReady reports whether every role is ready in the generation in force.
func (a *admission) newSetReady() bool {
	return !slices.ContainsFunc(a.m.roles, func(r *role) bool { return count(r.fresh, a.ready) < r.count })
}

// paired reports whether the generation in force has a ready worker of every role.
func (a *admission) paired() bool {
	return !slices.ContainsFunc(a.m.roles, func(r *role) bool { return r.count > 0 && count(r.fresh, a.ready) == 0 })
}

// beyondAlone keeps, while a disaggregated generation in force has no pair that is ready,
// what of the old units is beyond the count: until then these serve alone.
func (a *admission) beyondAlone(set []*unit, _ int) []*unit {
	if !a.m.disagg() || a.paired() {
		return set
	}
	return a.within(set, func(r *role) int { return count(r.old, a.carries) - max(r.count, 1) })
}

// withinBudget keeps, of the old units of each role, as many as leave the count less what
// may be missing.
func (a *admission) withinBudget(set []*unit, unavailable int) []*unit {
	return a.within(set, func(r *role) int {
		return count(r.fresh, a.ready) + count(r.old, a.carries) - (r.count - unavailable)
	})
}

// carries reports whether requests reach a unit, as far as the frontend tells.
func (a *admission) carries(u *unit) bool { return a.serving(u) && !a.m.unchosen(u) }

// within keeps so many of each role, the first of a set. What no request reaches is not
// among them: it waits for the whole new set, in case it is chosen before, and then goes.
func (a *admission) within(set []*unit, budget func(*role) int) []*unit {
	left := map[string]int{}
	for _, r := range a.m.roles {
		left[r.Role] = budget(r)
	}
	whole := a.newSetReady()
	return slices.DeleteFunc(set, func(u *unit) bool {
		if a.m.unchosen(u) {
			return !whole
		}
		left[u.Role]--
		return left[u.Role] < 0
	})
}

// inPairs takes back what would leave an old generation with traffic and one role only:
// the first of each role that would be the only one gone.
func (a *admission) inPairs(set []*unit, _ int) []*unit {
	if !a.m.disagg() {
		return set
	}
	left, goes := map[part]int{}, map[part]int{}
	for _, r := range a.m.roles {
		for _, u := range r.old {
			if a.serving(u) {
				left[partOf(u)]++
			}
		}
	}
	for _, u := range set {
		left[partOf(u)]--
		goes[partOf(u)]++
	}
	return slices.DeleteFunc(set, func(u *unit) bool {
		p := partOf(u)
		if left[p] > 0 || goes[p] == 0 {
			return false
		}
		half := slices.ContainsFunc(a.m.roles, func(o *role) bool { return o.Role != u.Role && left[part{u.Generation, o.Role}] > 0 })
		if half {
			goes[p] = 0 // one is enough
		}
		return half
	})
}

// decodeLast takes back the last decode worker of an old generation while a prefill worker
// of it drains, or is about to. Alone it gets no new request.
func (a *admission) decodeLast(set []*unit, _ int) []*unit {
	last := map[string]bool{}
	for _, u := range set {
		if u.Role != state.RoleDecode || !a.draining(u.Generation) {
			continue
		}
		same := func(o *unit) bool {
			return o.standing == old && o.Generation == u.Generation && o.Role == state.RoleDecode && a.serving(o)
		}
		last[u.Generation] = count(a.m.units, same) == count(set, same)
	}
	return slices.DeleteFunc(set, func(u *unit) bool {
		if u.Role != state.RoleDecode || !last[u.Generation] || !a.serving(u) {
			return false
		}
		last[u.Generation] = false
		return true
	})
}

// draining reports whether a prefill worker of an old generation may have requests under
// way.
func (a *admission) draining(generation string) bool {
	return slices.ContainsFunc(a.m.units, func(u *unit) bool {
		return u.standing == old && u.Generation == generation && u.Role == state.RolePrefill &&
			(u.is(leaving) || a.leaving[u] || u.is(serving))
	})
}
