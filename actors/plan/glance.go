package plan

import (
	"slices"

	"dynctl/state"
	"dynctl/state/same"
	"dynctl/state/sorted"
)

// What a model rests on is compared with the plan before as a whole, where that is as much:
// the lists of all units and of what a server's etcd and frontend say are found the same at
// their places, or gone through once, which says what of them is another. A model that
// rested in the plan before is compared with that alone.

// glance is what the last plan was given, and what the one under way finds changed since.
type glance struct {
	units  []*state.Unit // sorted
	rising bool          // no key is twice among them
	owners map[int64]int // see [ownersOf]
	held   holding       // what they hold of the nodes
	// lists counts those in which the list was another, or what is ours.
	lists uint64
	// placed counts the plans in which some unit had come, gone or become another model's:
	// as long as it is the same, all are at the same places of the list.
	placed uint64
	// changed are the models of which a unit is another, has come or has gone; all: of any
	// model one may be.
	changed map[unitsOf]bool
	all     bool
}

type unitsOf struct{ server, model string }

// sorted are units in their order, and whether no key is twice among them.
func (g *glance) sorted(units []*state.Unit) (_ []*state.Unit, rising bool) {
	if same.Place(units, g.units) {
		return g.units, g.rising
	}
	var was []*state.Unit
	if g.rising {
		was = g.units
	}
	if sorted.Rises(units, was, (*state.Unit).Compare) { // as the views' are
		return units, true
	}
	units = slices.SortedStableFunc(slices.Values(units), (*state.Unit).Compare)
	return units, sorted.Rises(units, nil, (*state.Unit).Compare)
}

// look compares the units of the plan under way with those of the one before.
func (g *glance) look(units []*state.Unit, rising bool) {
	clear(g.changed)
	was, wasRising := g.units, g.rising
	g.units, g.rising, g.all = units, rising, false
	if same.Place(was, units) && g.lists > 0 {
		return
	}
	g.lists++
	if g.all = !wasRising || !rising; g.all {
		g.owners, g.held = ownersOf(units), holdingOf(units)
		g.placed++
		return
	}
	placed := g.placed + 1
	same.DiffPointers(was, units, (*state.Unit).Compare, func(was, now *state.Unit) {
		if was == nil || now == nil || was.Model != now.Model || was.StoreID != now.StoreID {
			g.placed = placed
		}
		if was != nil {
			g.note(unitsOf{was.Server, was.Model})
			noteOwners(g.owners, was, -1)
			g.held.give(was)
		}
		if now != nil {
			g.note(unitsOf{now.Server, now.Model})
			noteOwners(g.owners, now, 1)
			g.held.take(now)
		}
	})
}

func (g *glance) note(of unitsOf) {
	if g.changed == nil {
		g.changed = map[unitsOf]bool{}
	}
	g.changed[of] = true
}

// sameUnits reports whether the units of a model are those of the plan before.
func (g *glance) sameUnits(server, model string) bool {
	return !g.all && (len(g.changed) == 0 || !g.changed[unitsOf{server, model}])
}

// said is what a server's etcd and its frontend say.
type said struct {
	plan   uint64 // in which they said so
	gates  []state.Gate
	models map[string]state.FrontendModel
	news   news
}

// news are what a server's etcd and its frontend say otherwise than in the plan before.
type news struct {
	all    bool            // of anything they may
	leases map[int64]bool  // whose instances are others
	served map[string]bool // names of models of which the frontend says something else
}

func (n *news) note(lease int64) {
	if n.leases == nil {
		n.leases = map[int64]bool{}
	}
	n.leases[lease] = true
}

// look finds what is said otherwise; [Memory.instances] has noted the leases.
func (mem *Memory) look(s *server) *news {
	was := &mem.of(s.Name).said
	n := &was.news
	n.all = n.all || was.plan+1 != mem.plans || !same.Place(was.gates, s.regs.Gates)
	clear(n.served)
	if now := s.frontend.Models; !n.all && !same.Bits(&was.models, &now) {
		n.lookAtFrontend(was.models, now)
	}
	was.plan, was.gates, was.models = mem.plans, s.regs.Gates, s.frontend.Models
	return n
}

func (n *news) lookAtFrontend(was, now map[string]state.FrontendModel) {
	if n.served == nil {
		n.served = map[string]bool{}
	}
	for name, x := range now {
		if y, known := was[name]; !known || !sameListing(x, y) {
			n.served[name] = true
		}
	}
	for name := range was {
		if _, known := now[name]; !known {
			n.served[name] = true
		}
	}
}

// isEmpty reports whether nothing is said otherwise.
func (n *news) isEmpty() bool { return !n.all && len(n.leases) == 0 && len(n.served) == 0 }

// concern reports whether something else may be said of a model that rested.
func (n *news) concern(m *model) bool {
	if n.all || len(n.served) > 0 && n.served[m.Spec.ServedName] {
		return true
	}
	return len(n.leases) > 0 && slices.ContainsFunc(m.rest.leases, func(lease int64) bool { return n.leases[lease] })
}
