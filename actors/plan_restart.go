package actors

import (
	"fmt"
	"slices"

	"dynctl/state"
)

// restartInPlace executes units anew whose restart text is not the spec's: one
// at a time, or as many as maxUnavailable allows. The rules, first match wins:
//
//  1. who serves is not known to us or to the frontend: none
//  2. the unit does not run: at once
//  3. it runs and is not ready: while fewer than allowed are on their way
//  4. it is ready: also while fewer than allowed are missing
func (p *planner) restartInPlace(m *modelView) {
	if m.unheard() || p.frontendBehind(m.server) {
		return
	}
	for _, r := range m.roles {
		allowed := 1
		if u := m.Spec.Update.MaxUnavailable; u != nil {
			allowed = *u
		}
		out := r.desired - countIf(r.fresh, ready)
		underway := countIf(r.fresh, func(v unitView) bool { return v.Restart == m.Spec.Restart && !v.stopping && !v.ready() })
		for _, v := range r.fresh {
			if v.Restart == m.Spec.Restart || v.stopping || v.Replica >= r.desired || p.starting(v.Key()) {
				continue
			}
			if unplaced(v.Unit) || stranded(v.Unit) {
				continue // it starts in another group, if there is room
			}
			if v.running {
				if allowed == 0 {
					m.stalled = "a restart is in place and maxUnavailable is 0"
				}
				if underway >= allowed || v.ready() && out >= allowed {
					continue
				}
				underway++
				if v.ready() {
					out++
				}
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
