package actors

import (
	"cmp"
	"maps"
	"slices"

	"dynctl/state"
)

// rollModel brings every role to its count in the wanted generation.
//
// Start new ones while the total stays within the count plus maxSurge and GPUs
// are free; stop old ones while those that are ready stay at the count less
// maxUnavailable. Where nothing can surge, old ones make room: see plan_makeroom.go.
// In a disaggregated model old ones serve until the new generation has a ready
// prefill and a ready decode, and no generation is left with one role only. Nothing
// that serves is stopped while it is not known, to us or to the frontend, who does.
func (p *planner) rollModel(m *modelView) {
	lacks := p.startMissing(m)
	if !m.rolling() {
		p.restartInPlace(m)
		return
	}
	p.stopUseless(m)
	lacks = slices.DeleteFunc(lacks, func(l lack) bool { // those that have just left made place for one
		return l.unfit == nil && m.missingOf(l.role).allowed > 0
	})
	switch {
	case !m.server.regs.Known:
		m.stalled = "Dynamo's etcd does not answer, so nothing that serves is stopped"
	case m.server.frontend.Known && !p.frontendBehind(m.server):
		p.stopOld(m, lacks)
	}
}

// rolling says that units of another generation exist.
func (m *modelView) rolling() bool {
	for _, r := range m.roles {
		if len(r.old) > 0 {
			return true
		}
	}
	return len(m.stray) > 0
}

// oldUnits are all units of other generations, strays included.
func (m *modelView) oldUnits() []unitView {
	out := slices.Clone(m.stray)
	for _, r := range m.roles {
		out = append(out, r.old...)
	}
	return out
}

// underway says that a new unit exists that may yet become ready. In a disaggregated
// model one that serves waits for the other role, which may have to find room first.
func (m *modelView) underway() bool {
	whole := true
	for _, r := range m.roles {
		whole = whole && (r.desired == 0 || countIf(r.fresh, serving) > 0)
	}
	for _, r := range m.roles {
		for _, v := range r.fresh {
			waits := r.homeless != nil && unplaced(v.Unit)
			if !v.stopping && !waits && (!v.serving() || whole && !v.ready()) {
				return true
			}
		}
	}
	return false
}

func countIf(units []unitView, ok func(unitView) bool) (n int) {
	for _, v := range units {
		if ok(v) {
			n++
		}
	}
	return n
}

func alive(v unitView) bool   { return !v.stopping }
func placed(v unitView) bool  { return !v.stopping && !unplaced(v.Unit) }
func ready(v unitView) bool   { return v.ready() }
func serving(v unitView) bool { return v.serving() }

// surge is how many units beyond the count may exist during a roll.
func (m *modelView) surge() int {
	if s := m.Spec.Update.MaxSurge; s != nil {
		return *s
	}
	return 1
}

// lack is a role of which no further unit could be started.
type lack struct {
	role *roleView
	// unfit is what the nodes miss; nil: as many units exist as may.
	unfit *Unfit
}

// missing is what a role still has to start.
type missing struct {
	lack
	indexes []int
	allowed int // how many may be started beside the old ones
	have    int // that exist or were started in this round
	started bool
	reason  string
}

// missingOf counts what a role misses.
func (m *modelView) missingOf(r *roleView) *missing {
	x := &missing{lack: lack{role: r}, allowed: r.desired, reason: ReasonWanted, have: countIf(r.fresh, alive)}
	taken := map[int]bool{}
	for _, v := range r.fresh {
		taken[v.Replica] = true // also one that is stopping: its name is taken
	}
	for i := range r.desired {
		if !taken[i] {
			x.indexes = append(x.indexes, i)
		}
	}
	if len(r.old) > 0 {
		x.allowed, x.reason = r.desired+m.surge()-x.have-countIf(r.old, alive), ReasonRollNew
	}
	if m.fellBack {
		x.reason = ReasonRollBack
	}
	return x
}

// startMissing starts replicas of the wanted generation that do not exist, the role
// with the fewest first: half a disaggregated generation serves nobody, so no role
// takes the room of a second unit while another has none. It returns the roles of
// which nothing could be started, or not started again.
func (p *planner) startMissing(m *modelView) []lack {
	var all []*missing
	for _, r := range m.roles {
		if x := m.missingOf(r); len(x.indexes) > 0 {
			all = append(all, x)
		}
	}
	for x := nextMissing(all); x != nil; x = nextMissing(all) {
		x.unfit = p.startUnit(m, m.template, x.role.RoleTemplate, unitStart{index: x.indexes[0], placement: Attempt{Number: 1}, reason: x.reason})
		if x.unfit == nil {
			x.indexes, x.started = x.indexes[1:], true
			x.allowed--
			x.have++
		}
	}
	var out []lack
	for _, x := range all {
		if !x.started && x.role.homeless == nil && (x.unfit != nil || x.allowed <= 0) {
			out = append(out, x.lack)
		}
	}
	for _, r := range m.roles {
		if r.homeless != nil {
			out = append(out, lack{r, r.homeless})
		}
	}
	return out
}

// nextMissing is the role to start a unit of; nil when there is none.
func nextMissing(all []*missing) *missing {
	halved := slices.ContainsFunc(all, func(x *missing) bool { return x.unfit != nil && x.have == 0 })
	var next *missing
	for _, x := range all {
		if len(x.indexes) == 0 || x.allowed <= 0 || x.unfit != nil || halved && x.have > 0 {
			continue
		}
		if next == nil || x.have < next.have {
			next = x
		}
	}
	return next
}

// stopUseless stops old units that serve nobody and will not be needed. The rules:
//
//  1. those whose other role is gone: alone they are not listed and get no request
//  2. those that were never ready, of a generation that never was
//  3. those that do not run, of a generation that another old one superseded
//  4. those that have exited and whose template is kept no more
//  5. those that do not serve while enough new ones are ready
func (p *planner) stopUseless(m *modelView) {
	others := map[string]bool{} // generations that serve
	for _, v := range m.oldUnits() {
		if v.serving() {
			others[v.Generation] = true
		}
	}
	drop := func(list []unitView, replaced bool) {
		for i, v := range list {
			if v.stopping || !p.useless(m, v, others) && (!replaced || v.serving()) || !m.server.regs.Known && v.running {
				continue
			}
			p.stopUnit(m, v.Unit, ReasonSuperseded, "generation "+v.Generation+" is no longer wanted and this unit does not serve")
			list[i].stopping = true
		}
	}
	for _, r := range m.roles {
		drop(r.old, countIf(r.fresh, ready) >= r.desired)
	}
	drop(m.stray, false)
}

func (p *planner) useless(m *modelView, v unitView, others map[string]bool) bool {
	if v.serving() {
		return m.server.frontend.Known && !v.listed && m.widowed(v)
	}
	t := m.otherTemplate(v.Generation)
	proven := t != nil && t.Proven
	switch {
	case !proven && !v.everReady():
		return true
	case !v.running && len(others) > 0 && !others[v.Generation]:
		return true
	}
	return v.State == state.UnitExited && !m.keeps(v.Unit)
}

// widowed says that no unit of the other role of its generation is left, not even one
// that drains.
func (m *modelView) widowed(v unitView) bool {
	return v.Role != state.RoleAggregated && !slices.ContainsFunc(m.units(), func(o unitView) bool {
		return o.Generation == v.Generation && o.Role != v.Role
	})
}

// stopOld stops what may go of the old generations.
func (p *planner) stopOld(m *modelView, lacks []lack) {
	if m.underway() {
		lacks = nil // what is coming up decides first
	}
	p.stopStray(m)
	made, hopeless := p.makeRoom(m, lacks)
	if made {
		return
	}
	unavailable := 0
	if u := m.Spec.Update.MaxUnavailable; u != nil && !hopeless {
		unavailable = *u
	}
	for _, v := range p.withinBudget(m, unavailable, false) {
		p.stopUnit(m, v.Unit, ReasonRollOld, "enough replicas of the new generation are ready")
	}
}

// withinBudget are the serving old units that may go when that many replicas may be
// missing.
func (p *planner) withinBudget(m *modelView, unavailable int, makeRoom bool) []unitView {
	pair := true
	for _, r := range m.roles {
		pair = pair && (r.desired == 0 || countIf(r.fresh, ready) > 0)
	}
	chosen := map[string][]unitView{}
	for _, r := range m.roles {
		budget := countIf(r.fresh, ready) + countIf(r.old, serving) - (r.desired - unavailable)
		if m.disagg() && !pair && !makeRoom { // the old ones serve alone; only what is beyond the count may go
			budget = countIf(r.old, serving) - max(r.desired, 1)
		}
		old := lastFirst(slices.DeleteFunc(slices.Clone(r.old), func(v unitView) bool { return !v.serving() }))
		chosen[r.Role] = old[:max(0, min(budget, len(old)))]
	}
	if m.disagg() {
		m.keepPairs(chosen)
	}
	var out []unitView
	for _, r := range m.roles {
		out = append(out, chosen[r.Role]...)
	}
	return m.decodeLast(out)
}

func (m *modelView) disagg() bool { return len(m.roles) > 1 }

// lastFirst sorts units by their index, the highest first.
func lastFirst(units []unitView) []unitView {
	slices.SortFunc(units, func(a, b unitView) int {
		return cmp.Or(cmp.Compare(b.Replica, a.Replica), cmp.Compare(a.Unit.Unit, b.Unit.Unit))
	})
	return units
}

// keepPairs takes back stops that would leave an old generation with traffic and
// one role only. Where the new generation is complete, the rest of the old one
// goes instead.
func (m *modelView) keepPairs(chosen map[string][]unitView) {
	generations := map[string]bool{}
	complete := true
	for _, r := range m.roles {
		complete = complete && countIf(r.fresh, ready) >= r.desired
		for _, v := range r.old {
			generations[v.Generation] = true
		}
	}
	for _, g := range slices.Sorted(maps.Keys(generations)) {
		of := func(v unitView) bool { return v.Generation == g && v.serving() }
		left := map[string]int{}
		for _, r := range m.roles {
			left[r.Role] = countIf(r.old, of) - countIf(chosen[r.Role], of)
		}
		for _, r := range m.roles {
			if left[r.Role] > 0 || countIf(chosen[r.Role], of) == 0 || m.othersGone(r, left) {
				continue
			}
			if complete {
				for _, o := range m.roles {
					chosen[o.Role] = slices.DeleteFunc(slices.Clone(o.old), func(v unitView) bool { return !v.serving() })
				}
				return
			}
			i := slices.IndexFunc(chosen[r.Role], of)
			chosen[r.Role] = slices.Delete(slices.Clone(chosen[r.Role]), i, i+1)
		}
	}
}

// decodeLast takes back the stop of the last decode worker of an old generation
// while a prefill worker of it drains, or is about to: what that one has prefilled
// needs a decode worker of the same generation. Alone it gets no new request.
func (m *modelView) decodeLast(chosen []unitView) []unitView {
	held := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(chosen), func(v unitView) bool {
		if v.Role != state.RoleDecode || !v.serving() || held[v.Generation] || !m.draining(v.Generation) {
			return false
		}
		same := func(o unitView) bool {
			return o.Generation == v.Generation && o.Role == state.RoleDecode && o.serving()
		}
		held[v.Generation] = countIf(m.oldUnits(), same) == countIf(chosen, same)
		return held[v.Generation]
	})
}

// draining says that a prefill worker of the generation may have requests under way.
func (m *modelView) draining(generation string) bool {
	return slices.ContainsFunc(m.oldUnits(), func(v unitView) bool {
		return v.Generation == generation && v.Role == state.RolePrefill && (v.stopping || v.serving())
	})
}

// othersGone says that no other role of the generation is left either.
func (m *modelView) othersGone(r *roleView, left map[string]int) bool {
	for _, o := range m.roles {
		if o.Role != r.Role && left[o.Role] > 0 {
			return false
		}
	}
	return true
}

// stopStray stops units whose role the wanted template does not have (a model that
// went from aggregated to disaggregated, or back) once the new set is ready.
func (p *planner) stopStray(m *modelView) {
	for _, r := range m.roles {
		if countIf(r.fresh, ready) < r.desired {
			return
		}
	}
	leaving := m.decodeLast(slices.DeleteFunc(slices.Clone(m.stray), func(v unitView) bool { return v.stopping }))
	for _, v := range leaving {
		p.stopUnit(m, v.Unit, ReasonRollOld, "the new set of workers is ready")
	}
}
