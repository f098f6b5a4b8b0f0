package plan

import (
	"slices"
	"time"

	"dynctl/actors"
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
func (r *round) planGates() {
	type key struct{ server, model string }
	starts := map[key][]actors.UnitTemplate{}
	for _, k := range r.order {
		if t := r.starts[k].Template; r.starting(k) && t.Role != state.RoleAggregated {
			starts[key{t.Server, t.Model}] = append(starts[key{t.Server, t.Model}], t)
		}
	}
	for _, m := range r.models {
		if !m.server.regs.Known || m.server.blocked != "" {
			continue
		}
		mine := starts[key{m.Server, m.Name}]
		for _, g := range m.splitGenerations(mine) {
			r.gate(m, r.arrival(m, g, mine))
		}
	}
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

// splitGenerations are the disaggregated generations of a model that have units, or get
// some in this round, by name.
func (m *model) splitGenerations(starts []actors.UnitTemplate) (out []string) {
	for _, u := range m.units {
		if u.Role != state.RoleAggregated {
			out = append(out, u.Generation)
		}
	}
	for _, t := range starts {
		out = append(out, t.Generation)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *round) arrival(m *model, generation string, starts []actors.UnitTemplate) arrival {
	a := arrival{generation: generation, namespace: actors.Namespace(m.server.Spec.DynamoNamespace, generation),
		coming: true, registered: true, serving: true, seen: m.server.frontend.Known}
	for _, g := range m.server.regs.Gates {
		if g.Namespace == a.namespace {
			a.gates = append(a.gates, g)
		}
	}
	known := m.server.frontend.Models[m.Spec.ServedName].Namespaces[a.namespace].Workers
	for _, role := range []string{state.RolePrefill, state.RoleDecode} {
		r.arrivalOf(&a, m, role, starts)
		a.seen = a.seen && known[role] > 0
	}
	a.replaced = slices.ContainsFunc(m.units, func(v *unit) bool {
		return v.Generation != generation && v.is(serving) && (v.listed || !m.server.frontend.Known)
	})
	return a
}

// arrivalOf adds what is known of one role of a generation.
func (r *round) arrivalOf(a *arrival, m *model, role string, starts []actors.UnitTemplate) {
	coming := slices.ContainsFunc(starts, func(t actors.UnitTemplate) bool { return t.Generation == a.generation && t.Role == role })
	registered, serves := false, false
	for _, u := range m.units {
		if u.Generation != a.generation || u.Role != role || u.is(leaving) {
			continue
		}
		coming = coming || !r.ending(u.Key())
		registered = registered || u.registered
		serves = serves || u.is(serving)
	}
	a.coming, a.registered, a.serving = a.coming && coming, a.registered && registered, a.serving && serves
}

// gate applies the rules to one generation.
func (r *round) gate(m *model, a arrival) {
	key := actors.GenerationKey{Server: m.Server, Namespace: a.namespace}
	lift := func(reason string) {
		for _, g := range a.gates {
			r.out.Lifts = append(r.out.Lifts, actors.Lift{Server: m.Server, Model: m.Name, Namespace: a.namespace, Lease: g.Lease, Reason: reason})
		}
	}
	put := actors.Gate{Server: m.Server, Model: m.Name, ServedName: m.Spec.ServedName, Namespace: a.namespace,
		Component: actors.Component(state.Slug(m.Spec.ServedName), state.RolePrefill)}
	switch {
	case !a.replaced:
		lift(actors.ReasonNothingElseServes)
	case len(a.gates) > 0 && r.settled(key, a):
		lift(actors.ReasonGenerationWhole)
	case !a.coming:
	case len(a.gates) > 0:
		for _, g := range a.gates {
			put.Lease, put.Reason = g.Lease, actors.ReasonGenerationComing
			r.out.Gates = append(r.out.Gates, put)
		}
	case !a.registered:
		put.Reason = actors.ReasonGenerationComing
		r.out.Gates = append(r.out.Gates, put)
	}
}

// settled reports whether a generation behind a gate has been whole for long enough,
// and keeps since when it is.
func (r *round) settled(key actors.GenerationKey, a arrival) bool {
	if !a.serving {
		return false
	}
	was := r.in.Whole[key]
	since := actors.Whole{Registered: was.Registered, Seen: was.Seen}
	if since.Registered.IsZero() {
		since.Registered = r.in.Now
	}
	switch {
	case !a.seen:
		since.Seen = time.Time{}
	case since.Seen.IsZero():
		since.Seen = r.in.Now
	}
	if r.out.Whole == nil {
		r.out.Whole = map[actors.GenerationKey]actors.Whole{}
	}
	r.out.Whole[key] = since
	due := since.Registered.Add(gateLongest)
	if settles := since.Seen.Add(gateSettle); a.seen && settles.Before(due) {
		due = settles
	}
	r.checkAt(due)
	return !r.in.Now.Before(due)
}
