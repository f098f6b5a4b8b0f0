package actors

import (
	"cmp"
	"fmt"
	"slices"

	"dynctl/state"
)

// rollModel brings every role to its count in the wanted generation.
//
// Start new ones while the total stays within the count plus maxSurge and GPUs
// are free; stop old ones while those that are ready stay at the count less
// maxUnavailable. Where nothing can surge, old ones make room first, one at a
// time unless maxUnavailable says otherwise. In a disaggregated model old ones
// serve until the new generation has a ready prefill and a ready decode, and no
// generation is left with one role only.
func (p *planner) rollModel(m *modelView) {
	blocked := map[string]bool{} // roles where a new one cannot stand beside the old ones
	for _, r := range m.roles {
		blocked[r.Role] = p.startMissing(m, r) && !r.freshUnderway()
	}
	if !m.rolling() {
		p.restartInPlace(m)
		return
	}
	if !m.server.regs.Known {
		m.stalled = "Dynamo's etcd does not answer, so nothing that serves is stopped"
		p.stopUseless(m)
		return
	}
	p.stopUseless(m)
	p.stopOld(m, blocked)
	p.stopStray(m, blocked)
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

// freshUnderway says that a new unit exists that may yet become ready.
func (r *roleView) freshUnderway() bool {
	return slices.ContainsFunc(r.fresh, func(v unitView) bool { return !v.stopping && !v.ready() })
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
func ready(v unitView) bool   { return v.ready() }
func serving(v unitView) bool { return v.serving() }

// surge is how many units beyond the count may exist during a roll.
func (m *modelView) surge() int {
	if s := m.Spec.Update.MaxSurge; s != nil {
		return *s
	}
	return 1
}

// startMissing starts replicas of the wanted generation that do not exist. It
// says whether old ones would have to make room: none could be started, for want
// of GPUs or of surge.
func (p *planner) startMissing(m *modelView, r *roleView) (blocked bool) {
	have := map[int]bool{}
	for _, v := range r.fresh {
		have[v.Replica] = true // also one that is stopping: its name is taken
	}
	allowed, reason := r.desired, ReasonWanted
	if len(r.old) > 0 {
		total := countIf(r.fresh, alive) + countIf(r.old, alive)
		allowed, reason = r.desired+m.surge()-total, ReasonRollNew
		blocked = m.surge() == 0 && total == r.desired && len(have) < r.desired
	}
	if m.fellBack {
		reason = ReasonRollBack
	}
	for i := range r.desired {
		if have[i] || allowed <= 0 {
			continue
		}
		if !p.startUnit(m, r, unitStart{index: i, placement: Attempt{Number: 1}, reason: reason}) {
			return true // the others need as much
		}
		allowed--
		blocked = false
	}
	return blocked
}

// stopUseless stops old units that do not serve and will not be needed: those
// that were never ready, those of a generation that another old one superseded,
// and those that have exited and whose template is kept no more.
func (p *planner) stopUseless(m *modelView) {
	for _, r := range m.roles {
		othersServe := map[string]bool{}
		for _, v := range r.old {
			if v.serving() {
				othersServe[v.Generation] = true
			}
		}
		for i, v := range r.old {
			if v.stopping || v.serving() || !m.server.regs.Known && v.running {
				continue
			}
			superseded := len(othersServe) > 0 && !othersServe[v.Generation]
			lost := v.State == state.UnitExited && p.templateOf(m, r, v.Unit) == nil
			if !v.everReady() || superseded || lost || countIf(r.fresh, ready) >= r.desired {
				p.stopUnit(m, v.Unit, ReasonSuperseded, "generation "+v.Generation+" is no longer wanted and this unit does not serve")
				r.old[i].stopping = true
			}
		}
	}
}

// stopOld stops serving old units within the budget.
func (p *planner) stopOld(m *modelView, blocked map[string]bool) {
	disagg := len(m.roles) > 1
	pair := true
	makeRoom := false
	for _, r := range m.roles {
		if r.desired > 0 && countIf(r.fresh, ready) == 0 {
			pair = false
		}
		makeRoom = makeRoom || blocked[r.Role]
	}
	if makeRoom && m.Spec.Update.MaxUnavailable != nil && *m.Spec.Update.MaxUnavailable == 0 {
		m.stalled = "no GPU is free for a replica beside the old ones, and maxUnavailable is 0"
		makeRoom = false
	}
	chosen := map[string][]unitView{}
	for _, r := range m.roles {
		budget := countIf(r.fresh, ready) + countIf(r.old, serving) - (r.desired - p.unavailable(m, makeRoom))
		if disagg && !pair && !makeRoom { // the old ones serve alone; only what is beyond the count may go
			budget = countIf(r.old, serving) - max(r.desired, 1)
		}
		old := slices.DeleteFunc(slices.Clone(r.old), func(v unitView) bool { return !v.serving() })
		slices.SortFunc(old, func(a, b unitView) int {
			return cmp.Or(cmp.Compare(b.Replica, a.Replica), cmp.Compare(a.Unit.Unit, b.Unit.Unit))
		})
		chosen[r.Role] = old[:max(0, min(budget, len(old)))]
	}
	if disagg {
		m.keepPairs(chosen)
		m.decodeLast(chosen)
	}
	reason, message := ReasonRollOld, "enough replicas of the new generation are ready"
	if makeRoom {
		reason, message = ReasonMakeRoom, "no GPU is free for a replica beside this one"
	}
	for _, r := range m.roles {
		for _, v := range chosen[r.Role] {
			p.stopUnit(m, v.Unit, reason, message)
		}
	}
}

// unavailable is how many replicas may be missing now.
func (p *planner) unavailable(m *modelView, makeRoom bool) int {
	if u := m.Spec.Update.MaxUnavailable; u != nil {
		return *u
	}
	if makeRoom {
		return 1
	}
	return 0
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
	for g := range generations {
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
func (m *modelView) decodeLast(chosen map[string][]unitView) {
	decode, prefill := m.role(state.RoleDecode), m.role(state.RolePrefill)
	if decode == nil || prefill == nil {
		return
	}
	for _, v := range slices.Clone(chosen[state.RoleDecode]) {
		same := func(o unitView) bool { return o.Generation == v.Generation && o.serving() }
		last := countIf(decode.old, same) == countIf(chosen[state.RoleDecode], same)
		if last && draining(prefill.old, v.Generation) {
			chosen[state.RoleDecode] = slices.DeleteFunc(slices.Clone(chosen[state.RoleDecode]), func(o unitView) bool { return o.Unit.Unit == v.Unit.Unit })
		}
	}
}

// draining says that a worker of the generation may have requests under way.
func draining(units []unitView, generation string) bool {
	return slices.ContainsFunc(units, func(v unitView) bool { return v.Generation == generation && (v.stopping || v.serving()) })
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

// stopStray stops units whose role the wanted template does not have (a model
// that went from aggregated to disaggregated, or back) once the new set is ready,
// or where they hold the room that it needs.
func (p *planner) stopStray(m *modelView, blocked map[string]bool) {
	complete, room := true, false
	for _, r := range m.roles {
		complete = complete && countIf(r.fresh, ready) >= r.desired
		room = room || blocked[r.Role]
	}
	mayMakeRoom := m.Spec.Update.MaxUnavailable == nil || *m.Spec.Update.MaxUnavailable > 0
	prefill := slices.DeleteFunc(slices.Clone(m.stray), func(v unitView) bool { return v.Role != state.RolePrefill })
	for _, v := range m.stray {
		if v.Role == state.RoleDecode && draining(prefill, v.Generation) {
			continue // see decodeLast
		}
		switch {
		case complete:
			p.stopUnit(m, v.Unit, ReasonRollOld, "the new set of workers is ready")
		case room && mayMakeRoom:
			p.stopUnit(m, v.Unit, ReasonMakeRoom, "no GPU is free for the new set of workers beside this one")
		case room:
			m.stalled = "no GPU is free for the new set of workers, and maxUnavailable is 0"
		case !v.serving() && !v.everReady():
			p.stopUnit(m, v.Unit, ReasonSuperseded, "generation "+v.Generation+" is no longer wanted and this unit does not serve")
		}
	}
}

// restartInPlace executes units anew whose restart text is not the spec's: one
// at a time, or as many as maxUnavailable allows, and only while the others are
// ready.
func (p *planner) restartInPlace(m *modelView) {
	for _, r := range m.roles {
		allowed := 1
		if u := m.Spec.Update.MaxUnavailable; u != nil {
			allowed = *u
		}
		allowed -= r.desired - countIf(r.fresh, ready)
		for _, v := range r.fresh {
			if v.Restart == m.Spec.Restart || v.stopping || p.starting(v.Key()) {
				continue
			}
			if v.ready() {
				if allowed <= 0 {
					if u := m.Spec.Update.MaxUnavailable; u != nil && *u == 0 {
						m.stalled = "a restart is in place and maxUnavailable is 0"
					}
					continue
				}
				allowed--
			}
			p.executeAnew(m, r, v)
		}
	}
}

// starting says that this round starts the unit already.
func (p *planner) starting(k state.UnitKey) bool {
	return slices.ContainsFunc(p.out.Starts, func(s Start) bool {
		return s.Template.Server == k.Server && s.Template.Unit == k.Unit
	})
}

func (p *planner) executeAnew(m *modelView, r *roleView, v unitView) {
	t := p.unitTemplate(m, m.template, r.RoleTemplate,
		unitAt{index: v.Replica, worker: v.Worker, shape: placedShape(v.Unit), restart: m.Spec.Restart})
	attempts := map[string]Attempt{}
	for _, a := range t.Actors {
		was, _ := findActor(v.Unit, a.Name)
		attempts[a.Name] = Attempt{Number: was.Attempt + 1}
	}
	p.start(Start{Template: t, Attempts: attempts, Placement: Attempt{Number: v.Attempt, Failures: v.Failures},
		Reason: ReasonRestartAsked, Message: fmt.Sprintf("restart %q", m.Spec.Restart), Revision: m.Accepted, Seen: v.Revision})
}
