package actors

import (
	"cmp"
	"slices"
	"time"

	"dynctl/state"
)

const (
	// gateSettle is how long the frontend has known every role of a generation before
	// requests reach it: it takes some milliseconds, under load more, until it can route
	// to all of it (docs/dynamo.md, "Between generations").
	gateSettle = 500 * time.Millisecond
	// gateLongest is how long a generation of which every role is registered is kept out
	// at most, whatever the frontend says of it.
	gateLongest = 10 * time.Second
)

// planGates keeps what is coming up of a disaggregated generation out of the frontend's
// choice while another generation of its model serves: the frontend chooses one as soon
// as it knows a worker of each role, and can route to it a moment later. A gate is a
// model card in the generation's namespace, of a type of worker of which there is none.
// For every generation that has one or should, first match wins:
//
//  1. no other generation serves: it is lifted, for half a service is better than none
//  2. the frontend has known every role for gateSettle, or etcd for gateLongest: lifted
//  3. nothing of it is coming up: left to its lease, which nobody renews
//  4. it stands: renewed
//  5. some role of it has no worker in etcd yet: put
//
// A gate lies on a lease of its own that lasts [state.GateTTL]: without a leader that
// reaches etcd it goes by itself.
func (p *planner) planGates() {
	for _, m := range p.models {
		if !m.server.regs.Known || m.server.blocked != "" {
			continue
		}
		for _, a := range p.arrivals(m) {
			p.gate(m, a)
		}
	}
	slices.SortFunc(p.out.Gates, func(a, b Gate) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lease, b.Lease))
	})
	slices.SortFunc(p.out.Lifts, func(a, b Lift) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lease, b.Lease))
	})
}

// arrival is a disaggregated generation of a model, as far as it concerns its gate.
type arrival struct {
	generation, namespace string
	gates                 []state.Gate
	// coming: of every role a unit exists or is started. registered, serving: one of
	// every role stands in etcd; and runs. seen: the frontend knows a worker of each.
	coming, registered, serving, seen bool
	// replaced: another generation serves.
	replaced bool
}

// arrivals are the disaggregated generations of a model, by name.
func (p *planner) arrivals(m *modelView) (out []arrival) {
	units := m.units()
	var generations []string
	note := func(generation, role string) {
		if role != state.RoleAggregated && !slices.Contains(generations, generation) {
			generations = append(generations, generation)
		}
	}
	for _, v := range units {
		note(v.Generation, v.Role)
	}
	for _, s := range p.out.Starts {
		if s.Template.Server == m.Server && s.Template.Model == m.Name {
			note(s.Template.Generation, s.Template.Role)
		}
	}
	slices.Sort(generations)
	for _, g := range generations {
		out = append(out, p.arrival(m, g, units))
	}
	return out
}

func (p *planner) arrival(m *modelView, generation string, units []unitView) arrival {
	a := arrival{generation: generation, namespace: Namespace(m.server.Spec.DynamoNamespace, generation),
		coming: true, registered: true, serving: true, seen: m.server.frontend.Known}
	for _, g := range m.server.regs.Gates {
		if g.Namespace == a.namespace {
			a.gates = append(a.gates, g)
		}
	}
	known := m.server.frontend.Models[m.Spec.ServedName].Namespaces[a.namespace].Workers
	for _, role := range []string{state.RolePrefill, state.RoleDecode} {
		of := func(ok func(unitView) bool) bool {
			return slices.ContainsFunc(units, func(v unitView) bool { return v.Generation == generation && v.Role == role && ok(v) })
		}
		starts := slices.ContainsFunc(p.out.Starts, func(s Start) bool {
			t := s.Template
			return t.Server == m.Server && t.Model == m.Name && t.Generation == generation && t.Role == role
		})
		a.coming = a.coming && (starts || of(func(v unitView) bool { return alive(v) && !p.ending(v.Key()) }))
		a.registered = a.registered && of(func(v unitView) bool { return v.registered && alive(v) })
		a.serving = a.serving && of(serving)
		a.seen = a.seen && known[role] > 0
	}
	a.replaced = slices.ContainsFunc(units, func(v unitView) bool {
		return v.Generation != generation && v.serving() && (v.listed || !m.server.frontend.Known)
	})
	return a
}

// gate applies the rules to one generation.
func (p *planner) gate(m *modelView, a arrival) {
	key := GenerationKey{Server: m.Server, Namespace: a.namespace}
	lift := func(reason string) {
		for _, g := range a.gates {
			p.out.Lifts = append(p.out.Lifts, Lift{Server: m.Server, Model: m.Name, Namespace: a.namespace, Lease: g.Lease, Reason: reason})
		}
	}
	put := Gate{Server: m.Server, Model: m.Name, ServedName: m.Spec.ServedName, Namespace: a.namespace,
		Component: Component(state.Slug(m.Spec.ServedName), state.RolePrefill)}
	switch {
	case !a.replaced:
		lift(ReasonNothingElseServes)
	case len(a.gates) > 0 && p.settled(key, a):
		lift(ReasonGenerationWhole)
	case !a.coming:
	case len(a.gates) > 0:
		for _, g := range a.gates {
			put.Lease, put.Reason = g.Lease, ReasonGenerationComing
			p.out.Gates = append(p.out.Gates, put)
		}
	case !a.registered:
		put.Reason = ReasonGenerationComing
		p.out.Gates = append(p.out.Gates, put)
	}
}

// settled reports whether a generation behind a gate has been whole for long enough,
// and keeps since when it is.
func (p *planner) settled(key GenerationKey, a arrival) bool {
	if !a.serving {
		return false
	}
	was := p.in.Whole[key]
	since := Whole{Registered: was.Registered, Seen: was.Seen}
	if since.Registered.IsZero() {
		since.Registered = p.in.Now
	}
	switch {
	case !a.seen:
		since.Seen = time.Time{}
	case since.Seen.IsZero():
		since.Seen = p.in.Now
	}
	if p.out.Whole == nil {
		p.out.Whole = map[GenerationKey]Whole{}
	}
	p.out.Whole[key] = since
	due := since.Registered.Add(gateLongest)
	if settles := since.Seen.Add(gateSettle); a.seen && settles.Before(due) {
		due = settles
	}
	p.checkAt(due)
	return !p.in.Now.Before(due)
}
