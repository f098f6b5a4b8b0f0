package plan

import (
	"cmp"

	"dynctl/state"
	"dynctl/state/same"
)

// What a model rests on is compared with the plan before as a whole, where that is as much:
// the lists of all units and of what a server's etcd and frontend say are found the same at
// their places, or gone through in their order. A model that rested in the plan before need
// not be compared with what none of these has found to be another.

// glance is what the last plan was given, and what the one under way finds changed since.
type glance struct {
	units []state.Unit
	// changed are the models of which a unit is another, has come or has gone; all: of any
	// model one may be.
	changed map[unitsOf]bool
	all     bool
}

type unitsOf struct{ server, model string }

// look compares the units of the plan under way with those of the one before.
func (g *glance) look(units []state.Unit) {
	clear(g.changed)
	order := func(a, b *state.Unit) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Unit, b.Unit))
	}
	was := g.units
	g.units, g.all = units, false
	if samePlace(was, units) {
		return
	}
	for _, list := range [][]state.Unit{was, units} {
		for i := 1; i < len(list); i++ {
			g.all = g.all || order(&list[i-1], &list[i]) >= 0 // one key twice
		}
	}
	if g.all {
		return
	}
	same.Diff(was, units, order, func(was, now *state.Unit) {
		for _, u := range []*state.Unit{was, now} {
			if u != nil {
				g.note(unitsOf{u.Server, u.Model})
			}
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
	plan      uint64 // in which they said so
	instances []state.Instance
	gates     []state.Gate
	models    map[string]state.FrontendModel
}

// sayTheSame reports whether a server's etcd and its frontend say what they said in the
// plan before.
func (mem *Memory) sayTheSame(s *server) bool {
	was := &mem.of(s.Name).said
	now := said{mem.plans, s.regs.Instances, s.regs.Gates, s.frontend.Models}
	unchanged := was.plan+1 == now.plan && samePlace(was.instances, now.instances) && samePlace(was.gates, now.gates) &&
		same.Bits(&was.models, &now.models)
	*was = now
	return unchanged
}

// samePlace reports whether two lists are one, in memory.
func samePlace[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
