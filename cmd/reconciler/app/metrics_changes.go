package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/same"
)

// changes finds restarts and workers that became ready by comparing a round with
// the one before; of what is the same to the bit nothing has to be found. It remembers
// what exists, and no more.
type changes struct {
	begun    bool
	store    string
	units    []*state.Unit // of the round before, by server and id
	statuses []*state.Status
	attempts map[actorKey]int
	// asked is why the last start of an actor was asked for.
	asked map[actorKey]askedStart
	ready map[state.UnitKey]time.Time // by unit: the execution that was last ready
}

type actorKey struct {
	unit state.UnitKey
	name string
}

type askedStart struct {
	number int
	reason string
}

type restart struct {
	server, model, role, reason string
	n                           int
}

type readiness struct {
	role string
	took time.Duration
}

func newChanges() *changes {
	return &changes{attempts: map[actorKey]int{}, asked: map[actorKey]askedStart{}, ready: map[state.UnitKey]time.Time{}}
}

// since compares. The first round that knows what runs is only remembered: what
// happened before this process is not its to count.
func (c *changes) since(in actors.Input, r actors.Result) ([]restart, []readiness) {
	for _, s := range r.Starts {
		key := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
		for name, a := range s.Attempts {
			c.asked[actorKey{key, name}] = askedStart{a.Number, s.Reason}
		}
	}
	if !in.Observed.Synced {
		return nil, nil
	}
	if c.store != in.Policy.StoreID {
		c.store, c.units, c.statuses = in.Policy.StoreID, nil, nil
		clear(c.attempts)
	}
	var restarts []restart
	units := in.Observed.Units
	if !slices.IsSortedFunc(units, (*state.Unit).Compare) {
		units = slices.SortedFunc(slices.Values(units), (*state.Unit).Compare)
	}
	same.DiffPointers(c.units, units, (*state.Unit).Compare, func(was, now *state.Unit) {
		restarts = append(restarts, c.unitChanged(was, now)...)
	})
	ready := c.becameReady(in.Now, units, r.Statuses)
	c.units, c.statuses, c.begun = units, r.Statuses, true
	for key, a := range c.asked {
		if done, exists := c.attempts[key]; exists && done >= a.number {
			delete(c.asked, key)
		}
	}
	if len(c.asked) > len(c.attempts)+maxSweeps {
		clear(c.asked) // units that never came to be
	}
	return restarts, ready
}

// unitChanged compares a unit with what it was; either may be nil.
func (c *changes) unitChanged(was, now *state.Unit) []restart {
	before := map[string]int{}
	if was != nil && was.StoreID == c.store {
		for _, a := range was.Actors {
			key := actorKey{was.Key(), a.Name}
			before[a.Name] = c.attempts[key]
			delete(c.attempts, key)
		}
	}
	if now == nil || now.StoreID != c.store {
		if was != nil {
			delete(c.ready, was.Key())
		}
		return nil
	}
	var restarts []restart
	for _, a := range now.Actors {
		key := actorKey{now.Key(), a.Name}
		c.attempts[key] = a.Attempt
		if n := a.Attempt - max(before[a.Name], 1); n > 0 && c.begun {
			restarts = append(restarts, restart{now.Server, now.Model, roleOf(*now, a), c.why(key, a), n})
		}
	}
	return restarts
}

// why is how the attempt before ended, or else why it was replaced.
func (c *changes) why(key actorKey, a state.Actor) string {
	known := actors.Reasons()
	if a.Exit != nil && a.Exit.Attempt == a.Attempt-1 && a.Exit.Reason != "" {
		return constant(a.Exit.Reason, known)
	}
	return constant(c.asked[key].reason, known)
}

// The roles of the infra unit's actors.
const (
	roleEtcd     = "etcd"
	roleNATS     = "nats"
	roleFrontend = "frontend"
)

// roleOf is the role of a worker, or what an actor of the infra unit is.
func roleOf(u state.Unit, a state.Actor) string {
	if u.Model != "" {
		return actors.RoleName(u.Role)
	}
	for label, role := range map[string]string{actors.LabelEtcd: roleEtcd, actors.LabelNATS: roleNATS, actors.LabelFrontend: roleFrontend} {
		if strings.HasSuffix(a.Name, label) {
			return role
		}
	}
	return "other"
}

// compareStatuses is the order in which a plan has them.
func compareStatuses(x, y *state.Status) int {
	return cmp.Or(cmp.Compare(y.Kind, x.Kind), cmp.Compare(x.Server, y.Server), cmp.Compare(x.Name, y.Name))
}

// becameReady tells each execution of a worker once.
func (c *changes) becameReady(now time.Time, units []*state.Unit, statuses []*state.Status) []readiness {
	var out []readiness
	same.DiffPointers(c.statuses, statuses, compareStatuses, func(_, s *state.Status) {
		if s == nil || s.Kind != state.KindModel {
			return
		}
		for _, p := range s.Placements {
			i, found := slices.BinarySearchFunc(units, &state.Unit{Server: s.Server, Unit: p.Unit}, (*state.Unit).Compare)
			if p.State != "Ready" || !found || units[i].StoreID != c.store {
				continue
			}
			at := executedAt(units[i])
			if at.IsZero() || c.ready[units[i].Key()].Equal(at) {
				continue
			}
			c.ready[units[i].Key()] = at
			if c.begun {
				out = append(out, readiness{actors.RoleName(units[i].Role), max(now.Sub(at), 0)})
			}
		}
	})
	slices.SortFunc(out, func(a, b readiness) int { return strings.Compare(a.role, b.role) })
	return out
}

// executedAt is when the last actor of a unit was executed; zero: none was.
func executedAt(u *state.Unit) (at time.Time) {
	for _, a := range u.Actors {
		if a.StartedAt.After(at) {
			at = a.StartedAt
		}
	}
	return at
}
