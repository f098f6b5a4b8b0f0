package plan

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/same"
)

// planRevokes asks for the leases of dead attempts to be revoked, so that traffic
// leaves them at once. Revoking the lease of a live worker would end it, so a
// lease is revoked only
//
//  1. when it is that of an attempt which has ended, and no live actor has it, of
//     whatever server, for servers may share an etcd without knowing; or
//  2. when it stands under one of our generations, no actor owns it, every
//     process that could own it has told its own lease, and all that is still so
//     at a second look, which the agent has been heard before. While no unit of
//     the server is known at all, it is not known who owns what.
func (r *round) planRevokes() {
	for _, s := range r.servers {
		if !s.regs.Known || len(s.foreign) > 0 {
			continue
		}
		r.revokeServer(s)
	}
}

func (r *round) revokeServer(s *server) {
	unowned := r.unownedOf(s)
	if len(unowned) == 0 {
		return // both rules are about these alone
	}
	asked := r.revokeDead(s) // rule 1 of planRevokes
	if s.infra == nil && len(s.units) == 0 || len(r.in.Observed.Unreadable) > 0 {
		return
	}
	for _, i := range unowned {
		if asked[i.Lease] || !ourNamespace(s, i.Namespace) || r.mayOwn(i) {
			continue
		}
		if !r.lookedTwice(actors.LeaseKey{Server: s.Name, Lease: i.Lease}) { // rule 2 of planRevokes
			continue
		}
		asked[i.Lease] = true
		r.out.Revokes = append(r.out.Revokes, actors.Revoke{Key: state.UnitKey{Server: s.Name}, Lease: i.Lease, Reason: actors.ReasonUnclaimed})
	}
}

// unowned are the instances of which no process has told that it has the lease, with what
// that rests on.
type unowned struct {
	instances []state.Instance
	of        []state.Instance // all that etcd has
	lists     uint64           // of the units, see glance
}

// unownedOf are those of a server's etcd: mostly none, and mostly those of the plan before.
func (r *round) unownedOf(s *server) []state.Instance {
	was, lists := &r.memory.of(s.Name).unowned, r.memory.glance.lists
	if was.lists == lists && same.Place(was.of, s.regs.Instances) {
		return was.instances
	}
	*was = unowned{of: s.regs.Instances, lists: lists}
	for i := range was.of {
		if r.owners[was.of[i].Lease] == 0 {
			was.instances = append(was.instances, was.of[i])
		}
	}
	return was.instances
}

// revokeDead applies rule 1 and returns the leases that are revoked by it.
func (r *round) revokeDead(s *server) map[int64]bool {
	asked := map[int64]bool{}
	for _, u := range s.units {
		for i := range u.Actors {
			a := &u.Actors[i]
			l := a.PreviousLease
			if l == 0 || asked[l] || r.owners[l] > 0 || !s.isRegistered(l) {
				continue
			}
			asked[l] = true
			r.out.Revokes = append(r.out.Revokes, actors.Revoke{Key: u.Key(), Actor: a.Name, Attempt: a.Attempt, Lease: l, Reason: actors.ReasonDeadAttempt})
		}
	}
	return asked
}

// ownersOf says of each lease how many processes have told that it is theirs, whatever
// server and store they belong to.
func ownersOf(units []*state.Unit) map[int64]int {
	out := make(map[int64]int, len(units))
	for _, u := range units {
		noteOwners(out, u, 1)
	}
	return out
}

// noteOwners counts what a unit owns up or down.
func noteOwners(of map[int64]int, u *state.Unit, by int) {
	for i := range u.Actors {
		if a := &u.Actors[i]; a.Lease != 0 && a.ChildPID != 0 {
			if of[a.Lease] += by; of[a.Lease] == 0 {
				delete(of, a.Lease)
			}
		}
	}
}

// lookedTwice reports whether a lease was found unclaimed before, and the agent has been
// heard since: an agent that was paused tells first that it lives, then what it has missed.
func (r *round) lookedTwice(k actors.LeaseKey) bool {
	first, seen := r.in.Unclaimed[k]
	if !seen {
		first = r.in.Now
	}
	if r.out.Unclaimed == nil {
		r.out.Unclaimed = map[actors.LeaseKey]time.Time{}
	}
	r.out.Unclaimed[k] = first
	due := first.Add(r.in.Policy.SweepLook)
	r.checkAt(due)
	return seen && !r.in.Now.Before(due) && r.in.Observed.Agent.At.After(first)
}

var generationForm = regexp.MustCompile(`^[0-9a-f]{8}$`)

// ourNamespace reports whether a Dynamo namespace is the server's stem with a generation.
func ourNamespace(s *server, namespace string) bool {
	g, ok := strings.CutPrefix(namespace, s.Spec.DynamoNamespace+"-")
	return ok && generationForm.MatchString(g)
}

// mayOwn reports whether the process that an instance is of may be one of those that have not
// told their lease.
func (r *round) mayOwn(i state.Instance) bool {
	if r.untold == nil {
		r.untold = r.untoldGenerations()
	}
	for at, c := range i.Namespace {
		if c == '-' && r.untold[i.Namespace[at+1:]] {
			return true
		}
	}
	return false
}

// untoldGenerations are those of which some process lives whose lease is not known yet, or a
// unit is in a state where that cannot be told: what is told to execute may have done so
// already. A lease with two owners is not known: one of them was told another's.
func (r *round) untoldGenerations() map[string]bool {
	out := map[string]bool{}
	for _, u := range r.in.Observed.Units {
		untold := func(a state.Actor) bool {
			lives := a.State != state.UnitExited && a.State != state.ActorDead
			return a.Bundle == 0 && lives && (a.Lease == 0 || r.owners[a.Lease] > 1)
		}
		if u.Generation != "" && (r.starting(u.Key()) || slices.ContainsFunc(u.Actors, untold)) {
			out[u.Generation] = true
		}
	}
	return out
}
