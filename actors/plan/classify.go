package plan

import (
	"cmp"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// server is one server with everything that is known of it.
type server struct {
	actors.DesiredServer
	units   []*state.Unit    // ours, without infra
	byModel map[string][]int // their places among all
	infra   *state.Unit
	foreign []*state.Unit
	models  []*model
	regs    state.Registrations
	// instances are those of regs, by lease.
	instances map[int64][]state.Instance
	frontend  state.FrontendView
	// workers are the numbers that disaggregated workers of the server have, those of this
	// round included; nil: not asked yet. Below nextWorker none is free.
	workers    map[int]bool
	nextWorker int
	// dataLost is what [registrationsLost] has found in this round; nil: not asked yet.
	dataLost *bool
	// behind is what [frontendBehind] has found in this round; nil: not asked yet.
	behind *time.Time
	// addresses are those of infra that were asked for in this round, by placeholder; empty:
	// it has none.
	addresses map[string]string
	// url is what [server.endpoint] has found in this round; nil: not asked yet. silent is
	// that of [server.silentFrontend], likewise.
	url    *string
	silent string
	// plan is the one that it was classified in, lists its list of units (see glance).
	plan, lists uint64
	// awake are the models that do not rest.
	awake []*model
	// calm: models that rest under it may go on resting; since is of [Memory.since].
	calm  bool
	since uint64
	// news is what its etcd and its frontend say otherwise than in the plan before.
	news *news
	serverVerdict
}

// serverVerdict is what the server's own rules concluded in this round.
type serverVerdict struct {
	// blocked is why no unit of the server may be started; empty: none.
	blocked, blockedMessage string
	// recreating: etcd or NATS move, so every unit goes first.
	recreating bool
	// held is how many deleted models the mass-deletion guard keeps; 0: it is down.
	held        int
	heldMessage string
}

// model is one model with its units, classified.
type model struct {
	*actors.DesiredModel
	server *server
	// namespace is that of the generation in force in Dynamo, frontend what the server's
	// frontend says of the model.
	namespace string
	frontend  state.FrontendModel
	// inForce is the template of the generation that is to run: the accepted one, or the
	// previous one once that was given up.
	inForce  *actors.ModelTemplate
	fellBack bool
	// roles are those of the generation in force, in its order; strays those that only
	// units of other generations have: nobody wants any.
	roles, strays []*role
	units         []*unit // of all roles, by id
	// rest is what was concluded of it when it came to rest; nil: it does not rest.
	rest *rest
	modelVerdict
}

// modelVerdict is what was concluded of a model in this round.
type modelVerdict struct {
	deletion deletion
	waits    []actors.Wait
	// stalled is the text of the veto that holds up a roll; empty: none does.
	stalled string
	// giveUp: the replacement cannot start and the previous generation is to come back.
	giveUp bool
}

// deletion is what a delete marker means for a model now.
type deletion int

const (
	// held: deleted, and still kept.
	held deletion = iota + 1 // zero: not deleted
	// deleted: the hold is over, its units go.
	deleted
)

// role is one role of a model with its units.
type role struct {
	*actors.RoleTemplate
	// stray: the generation in force has no such role, so nobody wants any.
	stray bool
	count int // the replicas that are wanted
	// fresh are of the generation in force, old of others; by id.
	fresh, old []*unit
}

// classify puts every unit where it belongs. What belongs to no server is left to the
// rules of orphans.
func (r *round) classify() {
	byName := map[string]*server{}
	for _, d := range r.in.Desired.Servers {
		s := r.memory.classified(d.Name)
		s.DesiredServer, s.regs, s.frontend = d, r.in.Registered[d.Name], r.in.Frontends[d.Name]
		s.instances = r.memory.instances(d.Name, s.regs)
		byName[d.Name] = s
		r.servers = append(r.servers, s)
	}
	sort(r.servers, func(a, b *server) int { return cmp.Compare(a.Name, b.Name) })
	for from := 0; from < len(r.units); {
		from = r.classifyUnits(byName[r.units[from].Server], from)
	}
	for _, s := range r.servers {
		s.calm, s.since, s.news = s.isCalm(r), r.memory.since(s), r.memory.look(s)
	}
	r.seatModels(byName)
}

// classifyUnits puts the units of one server, from a place on, where they belong, and returns
// where those of the next one begin. s is nil where nobody desires the server.
func (r *round) classifyUnits(s *server, from int) (next int) {
	name := r.units[from].Server
	after := func(u *state.Unit, name string) int { return cmp.Or(cmp.Compare(u.Server, name), -1) }
	n, _ := slices.BinarySearchFunc(r.units[from:], name, after)
	next = from + n
	if s == nil || s.lists == r.memory.glance.lists {
		return next
	}
	s.lists = r.memory.glance.lists
	var fill bool
	s.byModel, fill = r.memory.unitLists(name)
	known := r.memory.of(name)
	if !fill && known.infraAt >= 0 { // all are ours, and where they were: none need be looked at
		s.foreign, s.infra = nil, r.units[known.infraAt]
		s.units = slices.Concat(r.units[from:known.infraAt], r.units[known.infraAt+1:next])
		return next
	}
	s.units, s.foreign, s.infra = make([]*state.Unit, 0, next-from), nil, nil
	for i := from; i < next; i++ {
		u := r.units[i]
		switch {
		case u.StoreID != r.in.Policy.StoreID:
			s.foreign = append(s.foreign, u)
		case u.Unit == actors.InfraUnit:
			s.infra, known.infraAt = u, i
		default:
			s.units = append(s.units, u)
			if fill {
				s.byModel[u.Model] = append(r.made.placesIn(s.byModel[u.Model]), i)
			}
		}
	}
	if s.infra == nil || len(s.foreign) > 0 {
		known.infraAt = -1
	}
	return next
}

// sort sorts what mostly is sorted already.
func sort[T any](list []T, order func(a, b T) int) {
	if !slices.IsSortedFunc(list, order) {
		slices.SortFunc(list, order)
	}
}

func (r *round) newModel(s *server, d *actors.DesiredModel) *model {
	m := r.made.models.one()
	*m = model{DesiredModel: d, server: s, inForce: &d.Template, frontend: s.frontend.Models[d.Spec.ServedName]}
	if d.Previous != nil && fellBack(d) {
		m.inForce, m.fellBack = d.Previous, true
	}
	m.namespace = actors.Namespace(s.Spec.DynamoNamespace, m.inForce.Generation)
	places := s.byModel[d.Name]
	m.roles = r.made.roleLists.list(len(m.inForce.Roles))
	for i := range m.inForce.Roles {
		t := &m.inForce.Roles[i]
		count := actors.Replicas(d.Spec, t.Role)
		if n, ok := m.inForce.Counts[t.Role]; ok && d.Template.RoleTemplate(t.Role) == nil {
			count = max(n, 1) // the spec is of another mode
		}
		x := r.made.roles.one()
		*x = role{RoleTemplate: t, count: count, fresh: r.made.unitLists.list(min(count, len(places)))}
		m.roles = append(m.roles, x)
	}
	m.units = r.made.unitLists.list(len(places))
	for _, at := range places {
		v := r.made.units.one()
		v.Unit = r.units[at]
		m.add(v)
	}
	return m
}

// add classifies one unit of the model.
func (m *model) add(v *unit) {
	u := v.Unit
	r := m.role(u.Role)
	if r == nil {
		r = &role{RoleTemplate: &actors.RoleTemplate{Role: u.Role}, stray: true}
		m.strays = append(m.strays, r)
	}
	isFresh := u.Generation == m.inForce.Generation
	v.namespace = m.namespace
	if !isFresh {
		v.namespace = actors.Namespace(m.server.Spec.DynamoNamespace, u.Generation)
	}
	v.registered = m.registered(u, v.namespace, isFresh && r.Card)
	v.phase = phaseOf(u, v.registered)
	v.listed = m.listed(v.namespace)
	switch {
	case !isFresh || r.stray:
		v.standing = old
		r.old = append(r.old, v)
	case u.Replica < r.count:
		v.standing = wanted
		r.fresh = append(r.fresh, v)
	default:
		v.standing = surplus
		r.fresh = append(r.fresh, v)
	}
	m.units = append(m.units, v)
}

// registered reports whether the instance of a unit stands in Dynamo's etcd, with its
// model card where that is asked for.
func (m *model) registered(u *state.Unit, namespace string, card bool) bool {
	lease := leaseOf(u)
	return lease != 0 && slices.ContainsFunc(m.server.instances[lease], func(i state.Instance) bool {
		return i.Namespace == namespace && (i.Card || !card)
	})
}

// listed reports whether the frontend names a generation of the model with all types.
func (m *model) listed(namespace string) bool {
	return m.frontend.Listed && m.server.frontend.Known && m.frontend.Namespaces[namespace].Ready
}

// role finds a role, strays included; nil where no unit and no template has it.
func (m *model) role(name string) *role {
	of := func(r *role) bool { return r.Role == name }
	if i := slices.IndexFunc(m.roles, of); i >= 0 {
		return m.roles[i]
	}
	if i := slices.IndexFunc(m.strays, of); i >= 0 {
		return m.strays[i]
	}
	return nil
}

// disagg reports whether the generation in force has several roles.
func (m *model) disagg() bool { return len(m.roles) > 1 }

// rolling reports whether units of other generations exist.
func (m *model) rolling() bool { return m.oldCount() > 0 }

func (m *model) oldCount() (n int) {
	for _, u := range m.units {
		if u.standing == old {
			n++
		}
	}
	return n
}

// unheard reports whether it cannot be told if a unit is registered or listed.
func (m *model) unheard() bool { return !m.server.regs.Known || !m.server.frontend.Known }

// unchosen reports whether the frontend sends no request to the generation of a unit and
// does to another one: what is registered is not in its choice yet, or is kept out of it
// by a gate, and replaces nobody.
func (m *model) unchosen(u *unit) bool { return !u.listed && slices.ContainsFunc(m.units, isReady) }

// source is what a unit is made from: its generation's template and its role in that;
// nil where the template is not kept any more.
func (m *model) source(u *state.Unit) (*actors.ModelTemplate, *actors.RoleTemplate) {
	t := m.inForce
	if u.Generation != t.Generation {
		t = m.templateOf(u.Generation)
	}
	if t == nil {
		return nil, nil
	}
	if r := t.RoleTemplate(u.Role); r != nil {
		return t, r
	}
	return nil, nil
}

// templateOf is the template of a generation other than the one in force, if it is kept.
func (m *model) templateOf(generation string) *actors.ModelTemplate {
	if m.Template.Generation == generation {
		return &m.Template
	}
	if m.Previous != nil && m.Previous.Generation == generation {
		return m.Previous
	}
	for i := range m.Others {
		if m.Others[i].Generation == generation {
			return &m.Others[i]
		}
	}
	return nil
}

// fellBack reads from the status that the accepted revision was given up.
func fellBack(d *actors.DesiredModel) bool {
	if d.Status == nil || d.Status.AcceptedRevision != d.Accepted || !state.SameBucket(d.Status.AcceptedIn, d.AcceptedIn) {
		return false
	}
	c, ok := d.Status.Condition(state.CondUpToDate)
	return ok && c.Reason == actors.CondRolledBack
}

func count(units []*unit, ok func(*unit) bool) (n int) {
	for _, u := range units {
		if ok(u) {
			n++
		}
	}
	return n
}

func isReady(u *unit) bool   { return u.ready() }
func isServing(u *unit) bool { return u.is(serving) }

// served reports whether as many replicas of the generation in force serve as are wanted,
// whatever their indexes: one beyond the count may serve in the stead of one that is lost.
func (r *role) served() bool { return count(r.fresh, isServing) >= r.count }

// which are those of some units that are so, in a list of their own; mostly there are none, and
// no list is made.
func which(units []*unit, are func(*unit) bool) (out []*unit) {
	for _, u := range units {
		if are(u) {
			out = append(out, u)
		}
	}
	return out
}

// lastFirst is a copy sorted by index, the highest first.
func lastFirst(units []*unit) []*unit {
	if len(units) == 0 {
		return nil
	}
	return slices.SortedFunc(slices.Values(units), func(a, b *unit) int {
		return cmp.Or(cmp.Compare(b.Replica, a.Replica), cmp.Compare(a.Unit.Unit, b.Unit.Unit))
	})
}
