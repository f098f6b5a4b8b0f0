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
	releases render.Releases
	models   map[state.Key]*model
	servers  map[string]*remembered
	glance   glance
	line     line // all models of the last plan
	calm     bool // the round under way
	spared   int
	plans    uint64 // how many were made
}

// Spared is how many models the last plan took as they were.
func (mem *Memory) Spared() int { return mem.spared }

// Rests reports whether the last plan took a model as it was.
func (mem *Memory) Rests(k state.Key) bool {
	m := mem.models[k]
	return m != nil && m.rest != nil && m.rest.since < mem.plans
}

// remembered is what is kept of a server.
type remembered struct {
	// since is the plan that first saw spec and infra as they are.
	since     uint64
	spec      state.ServerSpec
	infra     state.Unit
	said      said
	units     map[string][]int // lists that are filled anew in each round
	listed    []state.Instance
	instances map[int64][]state.Instance // of listed, by lease
}

// rest is what was concluded of a model that rests, with what that rests on.
type rest struct {
	server   uint64               // since when its server is as it is
	desired  *actors.DesiredModel // where it was last found the same
	checked  uint64               // the last plan in which all of this held
	frontend state.FrontendModel
	leases   []int64 // of its units
	status   state.Status
	since    uint64 // the plan that concluded it
}

// begin decides whether what rests may go on resting in this round.
func (r *round) begin() {
	mem := r.memory
	if mem.policy != r.in.Policy || !mem.releases.Equal(r.releases) {
		mem.policy, mem.releases, mem.models, mem.line = r.in.Policy, r.releases, nil, line{}
	}
	mem.calm, mem.spared = r.isCalm(), 0
	mem.plans++
	mem.glance.look(r.units)
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

// resting is a model as it was when it came to rest, if it rests; nil otherwise.
func (r *round) resting(s *server, d *actors.DesiredModel) *model {
	m := r.memory.rested(d)
	if m == nil || !s.calm || m.rest.server != s.since || m.rest.desired != d && !same.Bits(m.rest.desired, d) {
		return nil
	}
	m.rest.desired = d
	units := s.byModel[d.Name]
	checked := m.rest.checked+1 == r.memory.plans
	if !checked || !r.memory.glance.sameUnits(d.Server, d.Name) {
		if len(units) != len(m.units) {
			return nil
		}
		for i, at := range units {
			if !same.Bits(&m.units[i].Unit, &r.units[at]) {
				return nil
			}
		}
	}
	m.server = s
	if (!checked || s.news.concern(m)) && !m.isServedAsBefore() {
		return nil
	}
	m.rest.checked = r.memory.plans
	for _, at := range units {
		r.atRest[at] = true
	}
	return m
}

// rested is a model that rested in the plan before; nil where it did not.
func (mem *Memory) rested(d *actors.DesiredModel) *model {
	if m := mem.line.find(d.Server, d.Name); m != nil {
		if m.rest == nil {
			return nil
		}
		return m
	}
	return mem.models[d.Key()]
}

// isServedAsBefore reports whether the etcd and the frontend of a model's server say of it
// and of its units what they did when it came to rest.
func (m *model) isServedAsBefore() bool {
	return sameListing(m.rest.frontend, m.server.frontend.Models[m.Spec.ServedName]) && !slices.ContainsFunc(m.units, func(u *unit) bool {
		return !m.registered(&u.Unit, u.namespace, m.role(u.Role).Card) || !m.listed(u.namespace) || m.server.isShut(u.namespace)
	})
}

// sameListing reports whether the frontend says of a model what it did. Field by field,
// since what lies between the fields of so small a struct is anything.
func sameListing(a, b state.FrontendModel) bool {
	return a.Listed == b.Listed && a.Ready == b.Ready && same.Bits(&a.Namespaces, &b.Namespaces)
}

// disturb ends the rest of the models of a server whose own rules have concluded something.
func (s *server) disturb() {
	if s.serverVerdict == (serverVerdict{}) {
		return
	}
	s.calm = false
	for _, m := range s.models {
		m.rest = nil
	}
}

// settle has a model rest from now on, if it may; st is what was concluded of it.
func (r *round) settle(m *model, st state.Status) {
	if !r.rests(m, st) {
		delete(r.memory.models, m.Key())
		return
	}
	s := m.server
	m.rest = &rest{server: s.since, desired: &m.DesiredModel, checked: r.memory.plans, frontend: s.frontend.Models[m.Spec.ServedName], status: st,
		since: r.memory.plans}
	for _, u := range m.units {
		m.rest.leases = append(m.rest.leases, leaseOf(&u.Unit))
	}
	if r.memory.models == nil {
		r.memory.models = map[state.Key]*model{}
	}
	r.memory.models[m.Key()] = m
}

// rests reports whether a model serves as declared, and nothing was concluded of it that
// is not concluded again as long as nothing changes.
func (r *round) rests(m *model, st state.Status) bool {
	return m.server.calm && m.isAsDeclared() && m.modelVerdict.isEmpty() && r.isWhole(m) && isLasting(m.Status, st)
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
				u.Restart != m.Spec.Restart || r.starts[k] != nil || r.stops[k] != nil {
				return false
			}
		}
	}
	return true
}

// isLasting reports whether no condition of a status has changed by this round: the times
// of its transitions are then those of before, and not now.
func isLasting(was *state.Status, st state.Status) bool {
	return was != nil && !slices.ContainsFunc(st.Conditions, func(c state.Condition) bool {
		before, ok := was.Condition(c.Type)
		return !ok || before.Status != c.Status
	})
}

// remember forgets what is not there any more.
func (r *round) remember() {
	mem := r.memory
	mem.line = line{models: r.inOrder}
	resting := 0
	for _, m := range r.models {
		if m.rest != nil {
			resting++
		}
	}
	if resting < len(mem.models) {
		clear(mem.models)
		for _, m := range r.models {
			if m.rest != nil {
				mem.models[m.Key()] = m
			}
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

// since is the plan that first saw a server's spec and infra as they are now: as long as it
// is the same nobody has to compare them.
func (mem *Memory) since(s *server) uint64 {
	was := mem.of(s.Name)
	if s.infra == nil {
		return 0 // and nothing rests
	}
	if was.since == 0 || !same.Bits(&was.spec, &s.Spec) || !same.Bits(&was.infra, s.infra) {
		was.since, was.spec, was.infra = mem.plans, s.Spec, *s.infra
	}
	return was.since
}

// unitLists are empty lists for the units of each model of a server, by their places.
func (mem *Memory) unitLists(server string) map[string][]int {
	lists := mem.of(server).units
	for name, list := range lists {
		if len(list) == 0 {
			delete(lists, name)
			continue
		}
		lists[name] = list[:0]
	}
	return lists
}

// instances are those that a server's etcd holds, by lease.
func (mem *Memory) instances(server string, regs state.Registrations) map[int64][]state.Instance {
	s := mem.of(server)
	news := &s.said.news
	news.all = false
	clear(news.leases)
	if s.instances != nil && samePlace(s.listed, regs.Instances) {
		return s.instances
	}
	rising := func(a, b state.Instance) int { return cmp.Or(compareInstances(a, b), -1) } // none twice
	if s.instances == nil || !slices.IsSortedFunc(regs.Instances, rising) || !slices.IsSortedFunc(s.listed, rising) {
		s.listed, s.instances, news.all = nil, make(map[int64][]state.Instance, len(regs.Instances)), true
	}
	order := func(a, b *state.Instance) int { return compareInstances(*a, *b) }
	same.Diff(s.listed, regs.Instances, order, func(was, now *state.Instance) {
		news.note(cmp.Or(was, now).Lease)
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
