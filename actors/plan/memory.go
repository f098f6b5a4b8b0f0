package plan

import (
	"cmp"
	"slices"

	"dynctl/actors"
	"dynctl/actors/render"
	"dynctl/state"
	"dynctl/state/same"
)

// Memory spares a planner what it concluded before: of a model that rests, nothing is
// concluded again until something changes that this rests on. It changes no plan. The zero
// value remembers nothing; it is for one goroutine, and keeps hold of what it was given.
//
// A model rests when all its replicas serve as declared, and nothing of it was started,
// stopped, waited for or told. What that rests on, beside the model itself, is few: see
// [Memory.resting] for what has to be the same to the bit, and [server.isCalm] and
// [round.isCalm] for what disturbs the rest of all. Time is not among them: nothing that
// is concluded of such a model falls due.
type Memory struct {
	policy   actors.Policy
	nodes    []state.Node
	releases render.Releases // on nodes
	servers  map[string]*remembered
	glance   glance
	line     line   // all models of the last plan
	spare    []seat // those of the one before, to be written over
	calm     bool   // the round under way
	spared   int
	awake    []*actors.DesiredModel
	plans    uint64 // how many were made
}

// Spared is how many models the last plan took as they were.
func (mem *Memory) Spared() int { return mem.spared }

// Awake are the models that the last plan did not take as they were, as they were desired.
func (mem *Memory) Awake() []*actors.DesiredModel { return mem.awake }

// remembered is what is kept of a server.
type remembered struct {
	server server // as it was classified last
	// since is the plan that first saw spec and infra as they are.
	since uint64
	spec  state.ServerSpec
	infra *state.Unit
	said  said
	// units are the places of each model's units among all, as they were when so many plans
	// had moved some (see [glance]).
	units     map[string][]int
	placed    uint64
	infraAt   int // the place of the infra unit, likewise; -1: it has none, or not all are ours
	infraUnit renderedInfra
	listed    []state.Instance
	instances map[int64][]state.Instance // of listed, by lease
	unowned   unowned
}

// rest is what was concluded of a model that rests, with what that rests on.
type rest struct {
	server  uint64               // since when its server is as it is
	desired *actors.DesiredModel // where it was last found the same
	leases  []int64              // of its units
	places  []int                // of its units among all, as of placed (see [glance])
	placed  uint64
	status  *state.Status
	since   uint64 // the plan that concluded it
}

// begin decides whether what rests may go on resting in this round.
func (r *round) begin() {
	mem := r.memory
	if mem.policy != r.in.Policy || !mem.releases.Equal(r.releases) {
		mem.policy, mem.line = r.in.Policy, line{}
		mem.glance.placed++ // what is ours is another
		mem.glance.lists++
	}
	mem.nodes, mem.releases = r.in.Observed.Nodes, r.releases
	mem.calm, mem.spared = r.isCalm(), 0
	mem.plans++
	mem.glance.look(r.units, r.rising)
	r.owners = mem.glance.owners
}

// isCalm reports whether nothing is known that may concern any model.
func (r *round) isCalm() bool {
	return r.acting && r.in.AgentFailure == nil && len(r.strangers) == 0 && len(r.in.Observed.Unreadable) == 0
}

// isCalm reports whether all is known of a server, and nothing of it concerns how its
// models are judged. What its own rules conclude comes later, see [round.disturb].
func (s *server) isCalm(r *round) bool {
	return r.memory.calm && s.infra != nil && s.regs.Known && s.frontend.Known && !s.Recovering &&
		!registrationsLost(s, r.in.Now) && frontendBehind(s, r.in.Now).IsZero()
}

// resting is a model as it was when it came to rest, if it rests; nil otherwise. x is its seat
// in the plan before, if that is known.
func (r *round) resting(s *server, d *actors.DesiredModel, x *seat) *model {
	if x == nil {
		x = r.memory.line.find(unitsOf{d.Server, d.Name})
	}
	if x == nil || x.model.rest == nil || !s.calm || !x.model.rest.isOf(s, d) {
		return nil
	}
	m, checked := x.model, x.status != nil // in the plan before all of it held
	m.rest.desired = d
	if placed := r.memory.glance.placed; m.rest.placed != placed {
		m.rest.placed, m.rest.places = placed, s.byModel[d.Name]
	}
	if (!checked || !r.memory.glance.sameUnits(d.Server, d.Name)) && !r.hasUnitsAsBefore(m) {
		return nil
	}
	m.server = s
	if (!checked || s.news.concern(m)) && !m.isServedAsBefore() {
		return nil
	}
	return m
}

// isOf reports whether it was concluded of a model as it is desired, under its server as it is.
func (r *rest) isOf(s *server, d *actors.DesiredModel) bool {
	return r.server == s.since && (r.desired == d || same.Bits(r.desired, d))
}

// hasUnitsAsBefore reports whether the units of a model are what they were when it came to
// rest.
func (r *round) hasUnitsAsBefore(m *model) bool {
	if len(m.rest.places) != len(m.units) {
		return false
	}
	for i, at := range m.rest.places {
		if m.units[i].Unit != r.units[at] {
			return false
		}
	}
	return true
}

// isServedAsBefore reports whether the etcd and the frontend of a model's server say of it
// and of its units what they did when it came to rest.
func (m *model) isServedAsBefore() bool {
	return sameListing(m.frontend, m.server.frontend.Models[m.Spec.ServedName]) && !slices.ContainsFunc(m.units, func(u *unit) bool {
		return !m.registered(u.Unit, u.namespace, m.role(u.Role).Card) || !m.listed(u.namespace) || m.server.isShut(u.namespace)
	})
}

// sameListing reports whether the frontend says of a model what it did. Field by field,
// since what lies between the fields of so small a struct is anything.
func sameListing(a, b state.FrontendModel) bool {
	return a.Listed == b.Listed && a.Ready == b.Ready && same.Bits(&a.Namespaces, &b.Namespaces)
}

// disturb ends the rest of the models of a server whose own rules have concluded something.
func (r *round) disturb(s *server) {
	if s.serverVerdict == (serverVerdict{}) {
		return
	}
	s.calm = false
	for _, m := range s.models {
		m.rest = nil
	}
	r.disturbed = true
}

// settle has a model rest from now on; st is what was concluded of it.
func (r *round) settle(m *model, st *state.Status) {
	m.rest = r.made.rests.one()
	*m.rest = rest{server: m.server.since, desired: m.DesiredModel, leases: r.made.leases.list(len(m.units)), status: st, since: r.memory.plans}
	for _, u := range m.units {
		m.rest.leases = append(m.rest.leases, leaseOf(u.Unit))
	}
}

// rests reports whether a model serves as declared, and nothing was concluded of it that
// is not concluded again as long as nothing changes.
func (r *round) rests(m *model) bool {
	return m.server.calm && m.isAsDeclared() && m.modelVerdict.isEmpty() && r.isWhole(m)
}

// isAsDeclared reports whether the last revision of a model is in force and wants it to run.
func (m *model) isAsDeclared() bool {
	return m.Accepted != 0 && m.Accepted == m.Revision && m.Rejected == nil && m.Deleted == nil && !m.SpecMissing && !m.Recovering &&
		!m.Spec.Suspend && !m.fellBack && (m.Template.Proven || m.Previous == nil)
}

func (v *modelVerdict) isEmpty() bool {
	return v.deletion == 0 && len(v.waits) == 0 && v.stalled == "" && !v.giveUp
}

// isWhole reports whether every unit of a model is wanted and ready, none is missing, and
// this round leaves all of them alone.
func (r *round) isWhole(m *model) bool {
	if len(m.strays) > 0 {
		return false
	}
	for _, x := range m.roles {
		if x.count == 0 || len(x.fresh) != x.count || len(x.old) > 0 {
			return false
		}
		for _, u := range x.fresh {
			k := u.Key()
			if m.server.isShut(actors.Namespace(m.server.Spec.DynamoNamespace, u.Generation)) {
				return false
			}
			if u.standing != wanted || !u.ready() || !sound(u.Unit, x.RoleTemplate) || u.PlacementGroup.State != state.GroupCreated ||
				!m.restarted(u) || r.starts[k] != nil || r.stops[k] != nil {
				return false
			}
		}
	}
	return true
}

// remember keeps the line for the next plan, and forgets what is not there any more.
func (r *round) remember() {
	mem := r.memory
	mem.spare, mem.line = mem.line.seats, line{seats: r.seats}
	mem.awake = nil
	for i := range r.seats {
		x := &r.seats[i]
		if x.status == nil || x.since == mem.plans {
			mem.awake = append(mem.awake, x.desired)
		}
	}
	if len(mem.servers) > len(r.servers) {
		there := map[string]bool{}
		for _, s := range r.servers {
			there[s.Name] = true
		}
		for name := range mem.servers {
			if !there[name] {
				delete(mem.servers, name)
			}
		}
	}
}

// of is what is kept of a server.
func (mem *Memory) of(server string) *remembered {
	s := mem.servers[server]
	if s == nil {
		s = &remembered{units: map[string][]int{}}
		if mem.servers == nil {
			mem.servers = map[string]*remembered{}
		}
		mem.servers[server] = s
	}
	return s
}

// classified is a server to be classified, at the place of the plan before, which its models
// know. As long as the list of units is the same they need not be looked at again.
func (mem *Memory) classified(name string) *server {
	s := &mem.of(name).server
	was := *s
	*s = server{plan: mem.plans, models: was.models[:0], awake: was.awake[:0]}
	if was.lists == mem.glance.lists {
		s.lists, s.units, s.byModel, s.infra, s.foreign = was.lists, was.units, was.byModel, was.infra, was.foreign
	}
	return s
}

// since is the plan that first saw a server's spec and infra as they are now: as long as it
// is the same nobody has to compare them.
func (mem *Memory) since(s *server) uint64 {
	was := mem.of(s.Name)
	if s.infra == nil {
		return 0 // and nothing rests
	}
	if was.since == 0 || !same.Bits(&was.spec, &s.Spec) || was.infra != s.infra {
		was.since, was.spec, was.infra = mem.plans, s.Spec, s.infra
	}
	return was.since
}

// unitLists are the places of the units of each model of a server among all; fill: they are
// empty, and to be filled.
func (mem *Memory) unitLists(server string) (lists map[string][]int, fill bool) {
	s := mem.of(server)
	if s.placed == mem.glance.placed {
		return s.units, false
	}
	s.placed = mem.glance.placed
	for name, list := range s.units {
		if len(list) == 0 {
			delete(s.units, name)
			continue
		}
		s.units[name] = list[:0]
	}
	return s.units, true
}

// releasesOn are the releases of Dynamo on nodes.
func (mem *Memory) releasesOn(nodes []state.Node) render.Releases {
	if len(nodes) > 0 && same.Place(nodes, mem.nodes) {
		return mem.releases
	}
	return render.ReleasesOn(nodes)
}

// renderedInfra is the unit of a server's infra as it was rendered last, with what that
// rests on.
type renderedInfra struct {
	from   actors.ServerTemplate
	group  state.PlacementGroup
	policy actors.Policy
	unit   actors.UnitTemplate
}

// infraOf is what a server's infra unit is made from, in the shape that it has.
func (r *round) infraOf(s *server) actors.UnitTemplate {
	was := &r.memory.of(s.Name).infraUnit
	if was.unit.Unit == "" || was.policy != r.in.Policy || !same.Bits(&was.from, &s.Template) || !same.Bits(&was.group, &s.infra.PlacementGroup) {
		*was = renderedInfra{s.Template, s.infra.PlacementGroup, r.in.Policy, r.infraTemplate(s, shapeOf(s.infra))}
	}
	return was.unit
}

// instances are those that a server's etcd holds, by lease.
func (mem *Memory) instances(server string, regs state.Registrations) map[int64][]state.Instance {
	s := mem.of(server)
	news := &s.said.news
	news.all = false
	clear(news.leases)
	if s.instances != nil && same.Place(s.listed, regs.Instances) {
		return s.instances
	}
	rising := func(a, b state.Instance) int { return cmp.Or(compareInstances(a, b), -1) } // none twice
	if s.instances == nil || !slices.IsSortedFunc(regs.Instances, rising) || !slices.IsSortedFunc(s.listed, rising) {
		s.listed, s.instances, news.all = nil, make(map[int64][]state.Instance, len(regs.Instances)), true
	}
	order := func(a, b *state.Instance) int { return compareInstances(*a, *b) }
	same.Diff(s.listed, regs.Instances, order, func(was, now *state.Instance) {
		if !news.all {
			news.note(cmp.Or(was, now).Lease)
		}
		if was != nil {
			s.instances[was.Lease] = slices.DeleteFunc(s.instances[was.Lease], func(i state.Instance) bool { return compareInstances(i, *was) == 0 })
			if len(s.instances[was.Lease]) == 0 {
				delete(s.instances, was.Lease)
			}
		}
		if now != nil {
			s.instances[now.Lease] = append(s.instances[now.Lease], *now)
		}
	})
	s.listed = regs.Instances
	return s.instances
}

func compareInstances(a, b state.Instance) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Lease, b.Lease))
}
