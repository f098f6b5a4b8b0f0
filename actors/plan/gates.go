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
	// to all of it, and a worker as long until it hears NATS (docs/dynamo.md, "Between
	// generations").
	gateSettle = 500 * time.Millisecond
	// gateSettleAlone is how long that is while no other generation of the model serves and
	// every role has been registered for gateSettle: the workers are heard by then, and the
	// frontend makes its way between the roles in 2 to 25 ms, beside a load of 9.
	gateSettleAlone = 200 * time.Millisecond
	// gateLongest is how long a generation of which every role is registered is kept out
	// at most, whatever the frontend says of it; gateLongestAlone is the same while no
	// other generation of the model serves.
	gateLongest      = 10 * time.Second
	gateLongestAlone = 2 * time.Second
)

// planGates keeps what is coming up of a disaggregated generation out of the frontend's
// choice until all of it can serve: the frontend chooses one as soon as it knows a worker
// of each role, and can route to it a moment later. A gate is a model card in the
// generation's namespace, of a type of worker of which there is none. For every generation
// that has one or is not whole, first match wins:
//
//  1. the frontend has known every role for gateSettle, gateSettleAlone if etcd has for
//     gateSettle and nothing else serves, or etcd for gateLongest: lifted
//  2. not all that is missing of it is on its way: left to its lease, which nobody renews
//  3. it stands: renewed
//  4. etcd has no worker of some role of it, and the frontend does not send it requests: put
//
// So a gate is put before what cannot serve, and takes nothing out of the choice that does.
// It lies on a lease of its own that lasts [state.GateTTL]: without a leader that reaches
// etcd it goes by itself.
func (r *round) planGates() {
	type key struct{ server, model string }
	starts := map[key][]actors.UnitTemplate{}
	for _, k := range r.order {
		if t := r.starts[k].Template; r.starting(k) && t.Role != state.RoleAggregated {
			starts[key{t.Server, t.Model}] = append(starts[key{t.Server, t.Model}], t)
		}
	}
	groups := map[string]map[workerGroup]bool{}
	for _, m := range r.awake { // what rests has no gate, and all of it serves
		if !m.server.regs.Known || m.server.blocked != "" {
			continue
		}
		mine := starts[key{m.Server, m.Name}]
		for _, g := range m.splitGenerations(mine) {
			a := r.arrival(m, g)
			if len(a.gates) == 0 && a.serving {
				continue
			}
			if groups[m.Server] == nil {
				groups[m.Server] = r.registeredGroups(m.server)
			}
			r.arriving(&a, m, mine, groups[m.Server])
			r.gate(m, a)
		}
	}
}

// isShut reports whether a gate stands before a generation.
func (s *server) isShut(namespace string) bool {
	return slices.ContainsFunc(s.regs.Gates, func(g state.Gate) bool { return g.Namespace == namespace })
}

// workerGroup is what workers of one role of a generation have in common.
type workerGroup struct{ namespace, component string }

// registeredGroups are those of which a server's etcd has a worker, beside what is dead
// and revoked in this round.
func (r *round) registeredGroups(s *server) map[workerGroup]bool {
	revoked := map[int64]bool{}
	for _, x := range r.out.Revokes {
		if x.Key.Server == s.Name {
			revoked[x.Lease] = true
		}
	}
	out := map[workerGroup]bool{}
	for _, i := range s.regs.Instances {
		if i.Card && !revoked[i.Lease] {
			out[workerGroup{i.Namespace, i.Component}] = true
		}
	}
	return out
}

// arrival is a disaggregated generation of a model, as far as it concerns its gate.
type arrival struct {
	generation, namespace string
	gates                 []state.Gate
	// serving: a unit of every role serves. registered: etcd has a worker of every role,
	// whether or not it has told which. coming: a unit of every role that etcd lacks is on
	// its way. seen: the frontend knows a worker of each.
	serving, registered, coming, seen bool
	// replaced: another generation serves. listed: the frontend sends requests to this one.
	replaced, listed bool
}

var splitRoles = []string{state.RolePrefill, state.RoleDecode}

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

// arrival is what is known of a generation without a look at all of etcd.
func (r *round) arrival(m *model, generation string) arrival {
	a := arrival{generation: generation, namespace: actors.Namespace(m.server.Spec.DynamoNamespace, generation), serving: true}
	for _, g := range m.server.regs.Gates {
		if g.Namespace == a.namespace {
			a.gates = append(a.gates, g)
		}
	}
	for _, role := range splitRoles {
		a.serving = a.serving && slices.ContainsFunc(m.units, func(u *unit) bool {
			return u.Generation == generation && u.Role == role && u.is(serving)
		})
	}
	return a
}

// arriving adds the rest.
func (r *round) arriving(a *arrival, m *model, starts []actors.UnitTemplate, groups map[workerGroup]bool) {
	a.registered, a.coming, a.seen, a.listed = true, true, m.server.frontend.Known, m.listed(a.namespace)
	known := m.server.frontend.Models[m.Spec.ServedName].Namespaces[a.namespace].Workers
	slug := state.Slug(m.Spec.ServedName)
	for _, role := range splitRoles {
		a.seen = a.seen && known[role] > 0
		if !groups[workerGroup{a.namespace, actors.Component(slug, role)}] {
			a.registered = false
			a.coming = a.coming && r.onItsWay(m, a.generation, role, starts)
		}
	}
	a.replaced = slices.ContainsFunc(m.units, func(v *unit) bool {
		return v.Generation != a.generation && v.is(serving) && (v.listed || !m.server.frontend.Known)
	})
}

// onItsWay reports whether a worker of a role may register soon: one is started in this
// round, or is placed and has not exited.
func (r *round) onItsWay(m *model, generation, role string, starts []actors.UnitTemplate) bool {
	return slices.ContainsFunc(starts, func(t actors.UnitTemplate) bool { return t.Generation == generation && t.Role == role }) ||
		slices.ContainsFunc(m.units, func(u *unit) bool {
			return u.Generation == generation && u.Role == role && u.stays() && !r.ending(u.Key()) &&
				u.PlacementGroup.State == state.GroupCreated && u.State != state.UnitExited
		})
}

// gate applies the rules to one generation.
func (r *round) gate(m *model, a arrival) {
	put := actors.Gate{Server: m.Server, Model: m.Name, ServedName: m.Spec.ServedName, Namespace: a.namespace,
		Component: actors.Component(state.Slug(m.Spec.ServedName), state.RolePrefill), Seen: m.server.regs.Revision, Reason: actors.ReasonGenerationComing}
	switch {
	case len(a.gates) > 0 && r.settled(actors.GenerationKey{Server: m.Server, Namespace: a.namespace}, a): // rule 1 of planGates
		for _, g := range a.gates {
			r.out.Lifts = append(r.out.Lifts, actors.Lift{Server: m.Server, Model: m.Name, Namespace: a.namespace, Lease: g.Lease, Reason: actors.ReasonGenerationWhole})
		}
	case !a.coming: // rule 2 of planGates
	case len(a.gates) > 0: // rule 3 of planGates
		for _, g := range a.gates {
			put.Lease = g.Lease
			r.out.Gates = append(r.out.Gates, put)
		}
	case !a.registered && !a.listed: // rule 4 of planGates
		r.out.Gates = append(r.out.Gates, put)
	}
}

// settled reports whether a generation behind a gate has been whole for long enough,
// and keeps since when it is.
func (r *round) settled(key actors.GenerationKey, a arrival) bool {
	if !a.registered || a.replaced && !a.serving {
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
	due, settles := since.Registered.Add(gateLongest), since.Seen.Add(gateSettle)
	if !a.replaced {
		due, settles = since.Registered.Add(gateLongestAlone), since.Seen.Add(gateSettleAlone)
		if heard := since.Registered.Add(gateSettle); settles.Before(heard) {
			settles = heard
		}
	}
	if a.seen && settles.Before(due) {
		due = settles
	}
	r.checkAt(due)
	return !r.in.Now.Before(due)
}
