package app

import (
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// changes finds restarts and workers that became ready by comparing a round with
// the one before. It remembers what exists, and no more.
type changes struct {
	begun    bool
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
	var restarts []restart
	attempts := map[actorKey]int{}
	executed := map[state.UnitKey]time.Time{}
	roles := map[state.UnitKey]string{}
	for _, u := range in.Observed.Units {
		if u.StoreID != in.Policy.StoreID {
			continue
		}
		roles[u.Key()] = actors.RoleName(u.Role)
		for _, a := range u.Actors {
			key := actorKey{u.Key(), a.Name}
			attempts[key] = a.Attempt
			if a.StartedAt.After(executed[u.Key()]) {
				executed[u.Key()] = a.StartedAt
			}
			if n := a.Attempt - max(c.attempts[key], 1); n > 0 && c.begun {
				restarts = append(restarts, restart{u.Server, u.Model, roleOf(u, a), c.why(key, a), n})
			}
		}
	}
	ready := c.becameReady(in.Now, r.Statuses, roles, executed)
	c.attempts, c.begun = attempts, true
	for key, a := range c.asked {
		if done, exists := attempts[key]; exists && done >= a.number {
			delete(c.asked, key)
		}
	}
	if len(c.asked) > len(attempts)+maxSweeps {
		clear(c.asked) // units that never came to be
	}
	return restarts, ready
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

// becameReady tells each execution of a worker once.
func (c *changes) becameReady(now time.Time, statuses []state.Status, roles map[state.UnitKey]string, executed map[state.UnitKey]time.Time) []readiness {
	var out []readiness
	for _, s := range statuses {
		if s.Kind != state.KindModel {
			continue
		}
		for _, p := range s.Placements {
			key := state.UnitKey{Server: s.Server, Unit: p.Unit}
			at, runs := executed[key]
			if p.State != "Ready" || !runs || c.ready[key].Equal(at) {
				continue
			}
			c.ready[key] = at
			if c.begun {
				out = append(out, readiness{roles[key], max(now.Sub(at), 0)})
			}
		}
	}
	for key := range c.ready {
		if _, exists := roles[key]; !exists {
			delete(c.ready, key)
		}
	}
	slices.SortFunc(out, func(a, b readiness) int { return strings.Compare(a.role, b.role) })
	return out
}
