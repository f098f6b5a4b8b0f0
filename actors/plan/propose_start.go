package plan

import (
	"time"

	"dynctl/actors"
)

// missing is the wish for the replicas of a role that do not exist, one after the other:
// there may be many more of them than there is ever room for.
type missing struct {
	role   *role
	index  int // the lowest of them; the role's count: there is none
	taken  map[int]bool
	reason string
}

// next goes on to the next of them.
func (x *missing) next() {
	for x.index++; x.taken[x.index]; x.index++ {
	}
}

func (x *missing) any() bool { return x.index < x.role.count }

// count is how many of them there are, found without going through them.
func (x *missing) count() int {
	n := x.role.count
	for index := range x.taken {
		if index < x.role.count {
			n--
		}
	}
	return n
}

// proposeMissing are the indexes of a role that no unit has. One that is being stopped
// still has its name.
func proposeMissing(m *model, r *role) missing {
	if r.isFull() {
		return missing{role: r, index: r.count}
	}
	x := missing{role: r, index: -1, taken: map[int]bool{}, reason: actors.ReasonWanted}
	for _, u := range r.fresh {
		x.taken[u.Replica] = true
	}
	x.next()
	switch {
	case m.fellBack:
		x.reason = actors.ReasonRollBack
	case len(r.old) > 0:
		x.reason = actors.ReasonRollNew
	}
	return x
}

// isFull reports whether each index has a unit, where that is seen at once: up to ten of
// them stand in their order.
func (r *role) isFull() bool {
	if len(r.fresh) < r.count {
		return false
	}
	for i, u := range r.fresh[:r.count] {
		if u.Replica != i {
			return false
		}
	}
	return true
}

// replacement is the wish for another group for a unit that has lost its own.
type replacement struct {
	unit      *unit
	placement actors.Attempt
	wait      actors.Wait // with a time until which it is not due; zero: it is
}

// proposeReplacement numbers the next placement of a unit. A group that went away is asked
// for again at once; one that Ray did not place, by backoff.
func proposeReplacement(m *model, u *unit, now time.Time) replacement {
	if u.Reason == "" {
		return replacement{unit: u, placement: actors.Attempt{Number: u.Attempt + 1}}
	}
	next, due := nextPlacement(u.Unit, m.server.Spec.Healing.Backoff)
	w := replacement{unit: u, placement: next}
	if due.After(now) {
		w.wait = actors.Wait{Key: u.Key(), Model: m.Name, Reason: actors.WaitPlacement, Message: u.Message, Until: due}
	}
	return w
}
