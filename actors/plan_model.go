package actors

import (
	"slices"
	"time"

	"dynctl/state"
)

// addModel classifies the units of one model: per role those of the wanted
// generation (fresh) and of others (old).
func (p *planner) addModel(s *serverView, d DesiredModel) {
	m := &modelView{DesiredModel: d, server: s, template: d.Template}
	s.models = append(s.models, m)
	p.models = append(p.models, m)
	if fellBack(d) && d.Previous != nil {
		m.template, m.fellBack = *d.Previous, true
	}
	for _, r := range m.template.Roles {
		v := &roleView{RoleTemplate: r, desired: desiredReplicas(d.Spec, r.Role)}
		if n, ok := m.template.Counts[r.Role]; ok && d.Template.role(r.Role) == nil {
			v.desired = max(n, 1) // the spec is of another mode
		}
		m.roles = append(m.roles, v)
	}
	for _, u := range s.units {
		if u.Model != d.Name {
			continue
		}
		v := p.view(s, m, u)
		r := m.role(u.Role)
		switch {
		case r == nil:
			m.stray = append(m.stray, v)
		case u.Generation == m.template.Generation:
			r.fresh = append(r.fresh, v)
		default:
			r.old = append(r.old, v)
		}
	}
}

func (m *modelView) role(name string) *roleView {
	for _, r := range m.roles {
		if r.Role == name {
			return r
		}
	}
	return nil
}

func desiredReplicas(spec state.ModelSpec, role string) int {
	n := spec.Replicas
	switch role {
	case state.RolePrefill:
		n = replicasOf(spec.Prefill)
	case state.RoleDecode:
		n = replicasOf(spec.Decode)
	}
	if n == nil {
		return 1
	}
	return *n
}

func replicasOf(r *state.RoleSpec) *int {
	if r == nil {
		return nil
	}
	return r.Replicas
}

// view concludes what a unit is good for.
func (p *planner) view(s *serverView, m *modelView, u state.Unit) unitView {
	v := unitView{Unit: u, stopping: u.State == state.UnitStopping, running: u.State == state.UnitRunning}
	namespace := Namespace(s.Spec.DynamoNamespace, u.Generation)
	needCard := false
	if r := m.role(u.Role); r != nil && u.Generation == m.template.Generation {
		needCard = r.Card
	}
	lease := leaseOf(u)
	v.registered = lease != 0 && slices.ContainsFunc(s.regs.Instances, func(i state.Instance) bool {
		return i.Lease == lease && i.Namespace == namespace && (i.Card || !needCard)
	})
	if fm, ok := s.frontend.Models[m.Spec.ServedName]; ok && s.frontend.Known {
		ns := fm.Namespaces[namespace]
		v.listed = fm.Listed && ns.Ready
	}
	return v
}

// leaseOf is the Dynamo instance id of a unit: that of its first rank.
func leaseOf(u state.Unit) int64 {
	for _, a := range u.Actors {
		if a.Bundle == 0 && a.State == state.UnitRunning {
			return a.Lease
		}
	}
	return 0
}

// planModels decides about every model, by priority, so that what fits runs.
func (p *planner) planModels() {
	for _, s := range p.servers {
		p.decideDeletions(s)
	}
	// Deletions decide whether a server is wanted, so servers come after them; they
	// come before the starts, because a model needs its infra to exist.
	for _, s := range p.servers {
		p.planServer(s)
	}
	for _, m := range p.models {
		p.planModel(m)
		m.unmark()
	}
}

// planModel applies, first match wins:
//
//  1. somebody else owns the server's names: nothing is touched
//  2. the model is deleted: every unit stops
//  3. no revision was ever accepted: nothing
//  4. the server is torn down: every unit stops with it
//  5. it is suspended: every unit stops
//  6. what one of its units does cannot be read: the others are healed, nothing else
//  7. otherwise: replicas beyond the count stop, missing ones start, exited ones
//     are executed again, old generations are replaced within the budget
func (p *planner) planModel(m *modelView) {
	for _, v := range m.units() {
		p.handled[v.Key()] = true
	}
	switch {
	case !p.acting, m.Recovering: // what was accepted is not known yet
	case m.server.blocked == WaitNotOwner, m.server.blocked == WaitCuratorAlive:
		m.waitFor(m.server.blocked, m.server.blockedMessage)
	case m.gone:
		p.stopAll(m, ReasonDeleted, "the spec was deleted")
	case m.Accepted == 0:
	case m.server.recreating:
		p.stopAll(m, ReasonInfraRecreated, m.server.blockedMessage)
	case m.Spec.Suspend && !m.held:
		p.stopAll(m, ReasonSuspended, "spec.suspend is true")
	case p.hiddenOf(m):
		p.healModel(m)
	default:
		p.frontendBehind(m.server)
		p.scaleDown(m)
		p.healModel(m)
		if m.server.blocked != "" {
			m.waitFor(m.server.blocked, m.server.blockedMessage)
			return
		}
		if why := tooOld(p.dynamo, m.template.runtimeEnv()); why != "" {
			if m.lacksUnits() {
				m.waitFor(WaitDynamoTooOld, why)
			}
			return
		}
		p.rollModel(m)
		m.unmark()
		m.giveUp = p.givesUp(m)
		p.tellTurns(m)
	}
}

// lacksUnits reports whether a replica of the wanted generation does not exist.
func (m *modelView) lacksUnits() bool {
	return slices.ContainsFunc(m.roles, func(r *roleView) bool { return countIf(r.fresh, alive) < r.desired })
}

// tellTurns says of replicas that find no room only because others are about to leave, or
// have just left, that they take their turn: nobody has to scale anything down.
func (p *planner) tellTurns(m *modelView) {
	short := func(w Wait) bool { return w.Reason == ReasonInsufficientGPUs || w.Reason == ReasonInsufficientCPUs }
	if m.stalled != "" || m.giveUp || !slices.ContainsFunc(m.waits, short) {
		return
	}
	reason, message := CondRolling, "it takes the place of a replica of the old generation, which leaves first"
	if !m.rolling() {
		reason, message = CondPending, "Ray has not counted yet what a unit that has just ended gave back"
		if !slices.ContainsFunc(m.roles, func(r *roleView) bool { return p.rayCountsTheGone([]lack{{role: r, unfit: &Unfit{}}}) }) {
			return
		}
	}
	for i, w := range m.waits {
		if short(w) {
			m.waits[i].Reason, m.waits[i].Message = reason, message
		}
	}
}

func (m *modelView) waitFor(reason, message string) {
	m.waits = append(m.waits, Wait{Key: state.UnitKey{Server: m.Server}, Model: m.Name, Reason: reason, Message: message})
}

func (p *planner) stopAll(m *modelView, reason, message string) {
	for _, v := range m.units() {
		p.stopUnit(m, v.Unit, reason, message)
	}
}

func (p *planner) stopUnit(m *modelView, u state.Unit, reason, message string) {
	grace := time.Duration(m.Spec.TerminationGracePeriod)
	if m.Accepted == 0 {
		grace = infraGrace
	}
	m.mark(u.Key())
	p.stop(u, Stop{GracePeriod: grace, Reason: reason, Message: message, Revision: m.Revision})
}

// mark counts a unit as stopping for the rest of the decisions about its model.
func (m *modelView) mark(k state.UnitKey) {
	set := func(list []unitView) {
		for i := range list {
			if list[i].Key() == k {
				list[i].stopping = true
			}
		}
	}
	set(m.stray)
	for _, r := range m.roles {
		set(r.fresh)
		set(r.old)
	}
}

// unmark goes back to what is observed.
func (m *modelView) unmark() {
	set := func(list []unitView) {
		for i := range list {
			list[i].stopping = list[i].State == state.UnitStopping
		}
	}
	set(m.stray)
	for _, r := range m.roles {
		set(r.fresh)
		set(r.old)
	}
}

// healModel executes again what exited, in place.
func (p *planner) healModel(m *modelView) {
	backoff := m.server.Spec.Healing.Backoff
	lost := p.registrationsLost(m.server)
	for _, v := range m.units() {
		r := m.role(v.Role)
		if v.stopping || p.ending(v.Key()) {
			continue
		}
		if unplaced(v.Unit) {
			p.replace(m, r, v, backoff)
			continue
		}
		if stranded(v.Unit) {
			m.mark(v.Key())
			p.stop(v.Unit, Stop{GracePeriod: strandedGrace, Reason: ReasonPlacementRetry, Revision: m.Revision,
				Message: "a node with part of its ranks is gone; what is left ends first"})
			continue
		}
		p.tellWhatItAwaits(m, r, v.Unit)
		p.healUnit(m, v.Unit, lost)
	}
}

// tellWhatItAwaits says why a unit is not placed that was started when it fitted, or
// for nodes that are to come, and that fits nowhere now: its group waits in Ray.
func (p *planner) tellWhatItAwaits(m *modelView, r *roleView, u state.Unit) {
	if r == nil || u.Generation != m.template.Generation || u.PlacementGroup.State == "CREATED" {
		return
	}
	_, unfit := ChooseShape(r.Needs, p.roomLess(func(x state.Unit) bool { return x.Key() == u.Key() }))
	if unfit == nil {
		return
	}
	w := Wait{Key: u.Key(), Model: m.Name, Reason: unfit.Reason, Message: unfit.Message}
	if p.waitsForNodes(m.server) {
		w.Reason = ReasonWaitingForNodes
	}
	m.waits = append(m.waits, w)
}

// healUnit executes again what of a unit needs it. An old unit whose template is not kept
// is replaced, not healed.
func (p *planner) healUnit(m *modelView, u state.Unit, lost bool) {
	source, role := m.sourceOf(u)
	if source == nil {
		return
	}
	var h healing
	p.refreshWorker(m, u, lost, &h)
	if len(h.attempts) == 0 && sound(u, *role) {
		return // making its template is what costs most here
	}
	t := p.templateOf(m, u)
	h = p.heal(u, t.Actors, m.server.Spec.Healing.Backoff)
	p.refreshWorker(m, u, lost, &h)
	h.withAllRanks(u)
	if !h.until.IsZero() {
		m.waits = append(m.waits, h.waited)
		p.checkAt(h.until)
	}
	p.sendHealing(h, *t, u, m.Accepted)
}

// sound says that every actor of a unit is there and none has ended.
func sound(u state.Unit, r RoleTemplate) bool {
	for _, a := range u.Actors {
		if a.State != state.UnitRunning && a.State != state.UnitStarting && a.State != state.UnitWaiting {
			return false
		}
	}
	ranks := UnitInput{Role: r, Shape: placedShape(u)}.ranks()
	return len(u.Actors) == ranks
}

// refreshWorker executes a worker anew whose environment names an infra that
// moved, or whose registration went with etcd's data.
func (p *planner) refreshWorker(m *modelView, u state.Unit, lost bool, h *healing) {
	s := m.server
	for _, a := range u.Actors {
		if a.State != state.UnitRunning && a.State != state.UnitStarting {
			continue
		}
		next := Attempt{Number: a.Attempt + 1}
		switch {
		case s.infra != nil && usesStale(a, *s.infra):
			h.ask(a.Name, next, ReasonInfraMoved, "etcd or NATS came back at another address")
		case lost && registrationLost(u, s.regs, etcdStarted(s)):
			h.ask(a.Name, next, ReasonRegistrationLost, "etcd came back without its data")
		}
	}
}

// templateOf is the template of a unit that exists, in the shape that it has; nil when
// it is kept no more.
func (p *planner) templateOf(m *modelView, u state.Unit) *UnitTemplate {
	source, role := m.sourceOf(u)
	if source == nil {
		return nil
	}
	t := p.unitTemplate(m, *source, *role, unitAt{index: u.Replica, worker: u.Worker, shape: placedShape(u), restart: u.Restart})
	return &t
}

// unitAt is which unit of a role is meant.
type unitAt struct {
	index, worker int
	shape         Shape
	restart       string
}

func (p *planner) unitTemplate(m *modelView, t ModelTemplate, role RoleTemplate, at unitAt) UnitTemplate {
	timeout := p.in.Policy.PlacementTimeout
	if p.waitsForNodes(m.server) {
		timeout = 0
	}
	return t.Unit(UnitInput{
		Role: role, Index: at.index, Worker: at.worker, Shape: at.shape, Restart: at.restart,
		RayNamespace:           p.in.Policy.RayNamespace,
		StartupTimeout:         time.Duration(m.Spec.StartupTimeout),
		TerminationGracePeriod: time.Duration(m.Spec.TerminationGracePeriod),
		PlacementTimeout:       timeout,
		NoCard:                 noCards(p.dynamo),
	})
}

// waitsForNodes says that a group which fits nowhere is requested all the same,
// because nodes may come.
func (p *planner) waitsForNodes(s *serverView) bool {
	switch s.Spec.Placement.WaitForNodes {
	case state.True:
		return true
	case state.False:
		return false
	}
	return p.in.Observed.Agent != nil && p.in.Observed.Agent.Autoscaling
}
