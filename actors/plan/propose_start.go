package plan

import (
	"dynctl/actors"
	"dynctl/state"
)

// missing is the wish for the replicas of a role that do not exist.
type missing struct {
	role    *role
	indexes []int // lowest first
	reason  string
}

// proposeMissing are the indexes of a role that no unit has. One that is being stopped
// still has its name.
func proposeMissing(m *model, r *role) missing {
	x := missing{role: r, reason: actors.ReasonWanted}
	taken := map[int]bool{}
	for _, u := range r.fresh {
		taken[u.Replica] = true
	}
	for i := range r.count {
		if !taken[i] {
			x.indexes = append(x.indexes, i)
		}
	}
	switch {
	case m.fellBack:
		x.reason = actors.ReasonRollBack
	case len(r.old) > 0:
		x.reason = actors.ReasonRollNew
	}
	return x
}

// replacement is the wish for another group for a unit that has lost its own.
type replacement struct {
	unit      *unit
	placement actors.Attempt
	wait      actors.Wait // with a time until which it is not due; zero: it is
}

// proposeReplacement numbers the next placement of a unit. A group that went away is asked
// for again at once; one that Ray did not place, by backoff.
func (r *round) proposeReplacement(m *model, u *unit) replacement {
	if u.Reason == "" {
		return replacement{unit: u, placement: actors.Attempt{Number: u.Attempt + 1}}
	}
	next, due := nextPlacement(u.Unit, m.server.Spec.Healing.Backoff)
	w := replacement{unit: u, placement: next}
	if due.After(r.in.Now) {
		w.wait = actors.Wait{Key: u.Key(), Model: m.Name, Reason: actors.WaitPlacement, Message: u.Message, Until: due}
	}
	return w
}

// waitsForNodes reports whether a group which fits nowhere is requested all the same,
// because nodes may come.
func (r *round) waitsForNodes(s *server) bool {
	switch s.Spec.Placement.WaitForNodes {
	case state.True:
		return true
	case state.False:
		return false
	}
	return r.in.Observed.Agent != nil && r.in.Observed.Agent.Autoscaling
}
