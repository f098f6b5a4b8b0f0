package actors

import (
	"time"

	"dynctl/state"
)

// replace starts a unit anew whose group is gone: in a new group, whose shape is
// chosen again.
func (p *planner) replace(m *modelView, r *roleView, v unitView, backoff state.BackoffSpec) {
	next, due := placementRetry(v.Unit, backoff)
	if v.Reason == "" { // the group went away; it was not refused
		next, due = Attempt{Number: v.Attempt + 1}, time.Time{}
	}
	if due.After(p.in.Now) {
		m.waits = append(m.waits, Wait{Key: v.Key(), Model: m.Name, Reason: WaitPlacement, Message: v.Message, Until: due})
		p.checkAt(due)
		return
	}
	again := unitStart{index: v.Replica, was: &v.Unit, placement: next, reason: ReasonPlacementRetry,
		yields: func(u state.Unit) bool { return u.Key() == v.Key() }}
	if v.Generation != m.template.Generation {
		p.replaceOld(m, v, again)
		return
	}
	if m.server.blocked != "" {
		return
	}
	if unfit := p.startUnit(m, m.template, r.RoleTemplate, again); unfit != nil {
		r.homeless, r.refused = unfit, r.refused || v.Reason != ""
	}
}

// replaceOld brings back a unit of an old generation that has lost its group, unless
// the wanted generation needs it no more or finds room itself: until it does, the old
// one is all that serves. Where neither finds room the unit waits for it.
func (p *planner) replaceOld(m *modelView, v unitView, again unitStart) {
	source, role := m.sourceOf(v.Unit)
	if source == nil || !source.Proven || m.fellBack || p.placesWanted(m) {
		p.stopUnit(m, v.Unit, ReasonSuperseded, "its group is gone and another generation is wanted")
		return
	}
	again.yields = func(u state.Unit) bool {
		waits := u.Server == m.Server && u.Model == m.Name && u.Generation == m.template.Generation && u.PlacementGroup.State != "CREATED"
		return waits || u.Key() == v.Key() // what waits for nodes that are to come holds none of these
	}
	if _, unfit := ChooseShape(role.Needs, p.roomLess(again.yields)); unfit == nil && m.server.blocked == "" {
		p.startUnit(m, *source, *role, again)
	}
}

// placesWanted says that what the wanted generation still misses of each role finds room.
func (p *planner) placesWanted(m *modelView) bool {
	var missing []lack
	coming := func(v unitView) bool { // not what waits for nodes that are to come
		return placed(v) && (v.PlacementGroup.State == "CREATED" || !p.waitsForNodes(m.server))
	}
	for _, r := range m.roles {
		if countIf(r.fresh, coming) < r.desired {
			missing = append(missing, lack{role: r})
		}
	}
	return fit(missing, p.roomWithout(m, nil)) == nil
}

// unitStart is which replica is started, and why.
type unitStart struct {
	index     int
	was       *state.Unit // what is left of it; nil: nothing
	placement Attempt
	reason    string
	// yields are units whose room counts as free; nil: none.
	yields func(state.Unit) bool
}

// startUnit starts one replica of a role of a generation if there is room; else it says
// what misses.
func (p *planner) startUnit(m *modelView, source ModelTemplate, r RoleTemplate, u unitStart) *Unfit {
	key := state.UnitKey{Server: m.Server, Unit: source.UnitID(r.Role, u.index)}
	nodes := p.room.nodes
	if u.yields != nil {
		nodes = p.roomLess(u.yields)
	}
	shape, unfit := p.chooseApart(r.Needs, nodes)
	if unfit != nil && !p.waitsForNodes(m.server) {
		m.waits = append(m.waits, Wait{Key: key, Model: m.Name, Reason: unfit.Reason, Message: unfit.Message})
		p.claims = append(p.claims, claim{m, r.Needs})
		return unfit
	}
	if unfit != nil {
		shape = *unfit.Shape
		m.waits = append(m.waits, Wait{Key: key, Model: m.Name, Reason: ReasonWaitingForNodes, Message: unfit.Message})
	}
	p.room.commit(shape)
	p.asked[key] = true
	worker, seen := p.nextWorker(m, r), uint64(0)
	if u.was != nil {
		worker, seen = u.was.Worker, u.was.Revision
	}
	t := p.unitTemplate(m, source, r, unitAt{index: u.index, worker: worker, shape: shape, restart: m.Spec.Restart})
	attempts := map[string]Attempt{}
	for _, a := range t.Actors {
		attempts[a.Name] = Attempt{Number: 1}
	}
	if u.was != nil {
		attempts = firstAttempts(*u.was, t.Actors)
	}
	p.start(Start{Template: t, Attempts: attempts, Placement: u.placement, Reason: u.reason, Revision: m.Accepted, Seen: seen})
	return nil
}

// nextWorker numbers a disaggregated worker: the lowest number that no other one
// of the server has or was given in this round.
func (p *planner) nextWorker(m *modelView, r RoleTemplate) int {
	if r.Role == state.RoleAggregated {
		return 0
	}
	used := map[int]bool{}
	for _, u := range m.server.units {
		if u.Role != state.RoleAggregated {
			used[u.Worker] = true
		}
	}
	for _, s := range p.out.Starts {
		if s.Template.Server == m.Server && s.Template.Role != state.RoleAggregated {
			used[s.Template.Worker] = true
		}
	}
	w := 0
	for used[w] {
		w++
	}
	return w
}
