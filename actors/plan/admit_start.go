package plan

import (
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"
)

// unitAt is which unit of a role is meant.
type unitAt struct {
	index, worker int
	shape         place.Shape
	restart       string
}

func (r *round) template(m *model, t actors.ModelTemplate, role actors.RoleTemplate, at unitAt) actors.UnitTemplate {
	timeout := r.in.Policy.PlacementTimeout
	if r.waitsForNodes(m.server) {
		timeout = 0
	}
	return render.Worker(t, render.WorkerInput{
		Role: role, Index: at.index, Worker: at.worker, Shape: at.shape, Restart: at.restart,
		RayNamespace:           r.in.Policy.RayNamespace,
		StartupTimeout:         time.Duration(m.Spec.StartupTimeout),
		TerminationGracePeriod: time.Duration(m.Spec.TerminationGracePeriod),
		PlacementTimeout:       timeout,
		NoCard:                 r.releases.NoCards(),
	})
}

// startWish is the wish for one replica in a group of its own.
type startWish struct {
	source    *actors.ModelTemplate
	role      actors.RoleTemplate
	index     int
	was       *unit // what is left of it; nil: nothing
	placement actors.Attempt
	reason    string
	// yields are units whose room counts as free; nil: none.
	yields func(*state.Unit) bool
	// spared: another replica serves in its stead, so nothing waits where it finds no room.
	spared bool
	// ahead: another replica is to start once this one serves.
	ahead bool
}

// place grants a start if there is room; else it says what misses.
func (a *admission) place(w startWish) *place.Unfit {
	m := a.m
	key := state.UnitKey{Server: m.Server, Unit: w.source.UnitID(w.role.Role, w.index)}
	room := a.ledger.room()
	if w.yields != nil {
		room = a.ledger.without(w.yields)
	}
	shape, unfit := a.chooseApart(w.role.Needs, room)
	if unfit != nil && w.spared {
		return unfit
	}
	if unfit != nil && !a.waitsForNodes(m.server) {
		a.wait(actors.Wait{Key: key, Model: m.Name, Reason: unfit.Reason, Message: unfit.Message})
		a.ledger.waiting = append(a.ledger.waiting, shortage{m, w.role.Needs})
		return unfit
	}
	if unfit != nil {
		shape = *unfit.Shape
		a.wait(actors.Wait{Key: key, Model: m.Name, Reason: actors.ReasonWaitingForNodes, Message: unfit.Message})
	}
	a.ledger.promise(shape)
	var worker int
	var seen uint64
	var was *state.Unit
	if w.was != nil {
		worker, seen, was = w.was.Worker, w.was.Revision, w.was.Unit
	} else {
		worker = a.nextWorker(m.server, w.role.Role)
	}
	t := a.template(m, *w.source, w.role, unitAt{index: w.index, worker: worker, shape: shape, restart: m.Spec.Restart})
	a.start(actors.Start{Template: t, Attempts: firstAttempts(was, t.Actors), Placement: w.placement, Reason: w.reason,
		Revision: m.Accepted, Seen: seen, Ahead: w.ahead})
	a.asked[key] = shape
	return nil
}

// nextWorker numbers a disaggregated worker: the lowest number that no other one of the
// server has or was given in this round.
func (r *round) nextWorker(s *server, role string) int {
	if role == state.RoleAggregated {
		return 0
	}
	if s.workers == nil {
		s.workers = map[int]bool{}
		for _, u := range s.units {
			if u.Role != state.RoleAggregated {
				s.workers[u.Worker] = true
			}
		}
	}
	for s.workers[s.nextWorker] {
		s.nextWorker++
	}
	s.workers[s.nextWorker] = true
	return s.nextWorker
}

// replace finds another group for a unit that has lost its own, in a newly chosen shape.
func (a *admission) replace(w replacement) {
	m, u := a.m, w.unit
	if !w.wait.Until.IsZero() {
		a.wait(w.wait)
		return
	}
	again := startWish{source: m.inForce, index: u.Replica, was: u, placement: w.placement, reason: actors.ReasonPlacementRetry,
		yields: func(x *state.Unit) bool { return x.Key() == u.Key() }}
	if u.standing == old {
		a.replaceOld(u, again)
		return
	}
	if m.server.blocked != "" {
		return
	}
	r := m.role(u.Role)
	again.role, again.spared = *r.RoleTemplate, r.served()
	if unfit := a.place(again); unfit != nil && !again.spared {
		if a.displaced == nil {
			a.displaced, a.refused = map[*role]*place.Unfit{}, map[*role]bool{}
		}
		a.displaced[r], a.refused[r] = unfit, a.refused[r] || u.Reason != ""
	}
}

// replaceOld brings back a unit of an old generation that has lost its group, unless the
// wanted generation needs it no more or finds room itself: until it does, the old one is
// all that serves. Where neither finds room the unit waits for it.
func (a *admission) replaceOld(u *unit, again startWish) {
	m := a.m
	source, role := m.source(u.Unit)
	if source == nil || !source.Proven || m.fellBack || a.placesWanted() {
		a.grantOne(u, leaveUnplaced)
		return
	}
	again.source, again.role = source, *role
	again.yields = func(x *state.Unit) bool {
		waits := x.Server == m.Server && x.Model == m.Name && x.Generation == m.inForce.Generation && x.PlacementGroup.State != state.GroupCreated
		return waits || x.Key() == u.Key() // what waits for nodes that are to come holds none of these
	}
	if _, unfit := place.Worker(role.Needs, a.ledger.without(again.yields)); unfit == nil && m.server.blocked == "" {
		a.place(again)
	}
}

// placesWanted reports whether what the wanted generation still misses of each role finds
// room.
func (a *admission) placesWanted() bool {
	var missing []shortfall
	comes := func(u *unit) bool { // not what waits for nodes that are to come
		return a.placed(u) && (u.PlacementGroup.State == state.GroupCreated || !a.waitsForNodes(a.m.server))
	}
	for _, r := range a.m.roles {
		if count(r.fresh, comes) < r.count {
			missing = append(missing, shortfall{role: r})
		}
	}
	return fit(missing, a.roomWithout(nil)) == nil
}

// shortfall is a role of which no further unit could be started.
type shortfall struct {
	role *role
	// unfit is what the nodes miss; nil: as many units exist as may.
	unfit *place.Unfit
}

// roleStart is a role's wish for replicas, as far as it was granted.
type roleStart struct {
	missing
	unfit   *place.Unfit
	allowed int // how many may be started beside the old ones
	have    int // that exist or were started in this round
	waits   int // that may not be started before others serve, and for which none is ahead
	started bool
}

// allowed is how many units of a role may be started beside the old ones.
func (a *admission) allowed(r *role) int {
	if len(r.old) == 0 {
		return r.count
	}
	return r.count + a.m.surge() - count(r.fresh, a.stays) - count(r.old, a.stays)
}

// startMissing starts replicas of the wanted generation that do not exist, the role with
// the fewest first: half a disaggregated generation serves nobody, so no role takes the
// room of a second unit while another has none. It returns the roles of which nothing
// could be started, or not started again.
func (a *admission) startMissing() []shortfall {
	var all []*roleStart
	for _, r := range a.m.roles {
		if x := proposeMissing(a.m, r); x.any() {
			allowed := a.allowed(r)
			all = append(all, &roleStart{missing: x, allowed: allowed, have: count(r.fresh, a.stays), waits: x.count() - max(allowed, 0)})
		}
	}
	for x := nextStart(all); x != nil; x = nextStart(all) {
		spared := x.role.served()
		x.unfit = a.place(startWish{source: a.m.inForce, role: *x.role.RoleTemplate, index: x.index,
			placement: actors.Attempt{Number: 1}, reason: x.reason, spared: spared, ahead: x.waits > 0})
		switch {
		case x.unfit == nil:
			x.next()
			x.started = true
			x.allowed--
			x.waits--
			x.have++
		case spared:
			x.index, x.unfit = x.role.count, nil
		}
	}
	var out []shortfall
	for _, x := range all {
		if x.any() && !x.started && a.displaced[x.role] == nil && (x.unfit != nil || x.allowed <= 0) {
			out = append(out, shortfall{x.role, x.unfit})
		}
	}
	for _, r := range a.m.roles {
		if a.displaced[r] != nil {
			out = append(out, shortfall{r, a.displaced[r]})
		}
	}
	return out
}

// nextStart is the role to start a unit of; nil when there is none.
func nextStart(all []*roleStart) *roleStart {
	halved := false
	for _, x := range all {
		halved = halved || x.unfit != nil && x.have == 0
	}
	var next *roleStart
	for _, x := range all {
		if !x.any() || x.allowed <= 0 || x.unfit != nil || halved && x.have > 0 {
			continue
		}
		if next == nil || x.have < next.have {
			next = x
		}
	}
	return next
}

// waitsForNodes reports whether a group which fits nowhere is requested all the same,
// because nodes may come.
func (r *round) waitsForNodes(s *server) bool {
	switch s.Spec.Placement.WaitForNodes {
	case state.True:
		return true
	case state.False:
		return false
	}
	return r.in.Observed.Agent != nil && r.in.Observed.Agent.Autoscaling
}
