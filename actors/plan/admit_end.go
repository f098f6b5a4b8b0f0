package plan

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

const (
	// failuresToFallBack is how many exits in a row prove that a replacement which had to
	// take the old one's place does not start.
	failuresToFallBack = 3
	// failuresToLetGo is how many failures in a row of a replica that stays end the wait of
	// those that leave.
	failuresToLetGo = 5
)

// notWaitedFor counts the replicas of a role that would stay and that those beyond the
// count do not wait for: those that fail again and again, and those that find room only
// once the others leave, unless these serve in their stead. An old generation leaves by
// itself, so the room that it will leave is waited for.
func (a *admission) notWaitedFor(r *role) (n int) {
	settled := map[int]bool{} // indexes that need no room, or are counted
	leaves := false
	for _, u := range r.fresh {
		settled[u.Replica] = !u.is(lost)
		switch {
		case u.standing == surplus:
			leaves = true
		case u.stays() && !u.running() && u.failed(failuresToLetGo):
			settled[u.Replica] = true
			n++
		}
	}
	missing := r.count
	for index, done := range settled {
		if done && index < r.count {
			missing--
		}
	}
	if !leaves || missing == 0 || r.served() || a.waitsForNodes(a.m.server) {
		return n
	}
	need := []shortfall{{role: r}}
	first := slices.Concat(proposeIdle(a.m), r.old) // what serves nobody and the old generation make room first
	beyond := which(r.fresh, func(u *unit) bool { return u.standing == surplus })
	if fit(need, a.roomWithout(first)) != nil && fit(need, a.roomWithout(slices.Concat(first, beyond))) == nil {
		n += missing
	}
	return n
}

// givesUp reports whether the wanted generation is to be left for the previous one:
//
//  1. it was never Ready: one that was is healed, however often it exits
//  2. a generation is known that was Ready before it
//  3. it is known who is registered, so who does not serve is known too
//  4. some role of it fails, or has lost the room that was made for it and the previous
//     generation finds room; and fewer replicas serve than are wanted
func (a *admission) givesUp() bool {
	m := a.m
	if m.fellBack || m.Template.Proven { // rule 1
		return false
	}
	if m.Previous == nil || m.Previous.Generation == m.Template.Generation { // rule 2
		return false
	}
	if !m.server.regs.Known { // rule 3
		return false
	}
	return m.short() && (m.failing() || a.refusedItsPlace() && a.placesPrevious()) // rule 4
}

// refusedItsPlace reports whether a role of which no unit serves was refused its place.
func (a *admission) refusedItsPlace() bool {
	return slices.ContainsFunc(a.m.roles, func(r *role) bool { return a.refused[r] && count(r.fresh, isServing) == 0 })
}

func (a *admission) placesPrevious() bool {
	nodes := a.ledger.room()
	for _, r := range a.m.Previous.Roles {
		shape, unfit := place.Worker(r.Needs, nodes)
		if unfit != nil {
			return false
		}
		nodes = shape.Take(nodes)
	}
	return true
}

// short reports whether fewer replicas serve than are wanted.
func (m *model) short() bool {
	return slices.ContainsFunc(m.roles, func(r *role) bool {
		return count(r.fresh, isServing)+count(r.old, isServing) < r.count
	})
}

// failing reports whether some role of the wanted generation does not start: no new unit of
// it serves and one has failed too often. Without that role the others serve nobody.
func (m *model) failing() bool {
	return slices.ContainsFunc(m.roles, func(r *role) bool {
		failed := func(u *unit) bool { return u.failed(failuresToFallBack) }
		return count(r.fresh, isServing) == 0 && slices.ContainsFunc(r.fresh, failed)
	})
}

// retire tells, of the granted leaves, those that leave a generation without a worker of
// the role while another generation serves. The frontend chooses a generation for each
// request, and sends it again within that one alone (docs/dynamo.md, "Between
// generations"): what is on its way to such a worker has nobody else to go to.
//
// One whose generation has a dead worker that is still registered is put off until that is
// gone: alone it would be all that the frontend knows of the generation, and be chosen. So is
// one while what was sent to another worker that died may come back, and the leave of that
// other one: its unit is all that tells of the death.
func (a *admission) retire() {
	if len(a.leaving) == 0 {
		return
	}
	staying, listed := a.goesOn()
	back := a.comesBack()
	for _, u := range a.m.units {
		s := a.stops[u.Key()]
		if s == nil {
			continue
		}
		p := partOf(u)
		death := back[p]
		isReplaced := slices.ContainsFunc(listed, func(g string) bool { return g != u.Generation })
		switch {
		case isReplaced && u.is(serving) && s.Reason != actors.ReasonSuperseded && !staying[p]:
			s.Retires, s.putOff = true, a.m.server.deadRegistered(u.Generation) || death.of != nil
		case death.of == u && u.standing == old && (isReplaced || staying[p]):
			s.putOff = true
		}
		if s.putOff {
			a.checkAt(death.until)
		}
	}
}

// goesOn are the parts of which a worker goes on serving, and the generations to which the
// frontend sends requests then.
func (a *admission) goesOn() (staying map[part]bool, listed []string) {
	staying = map[part]bool{}
	for _, u := range a.m.units {
		if !a.serving(u) {
			continue
		}
		staying[partOf(u)] = true
		if u.listed && !slices.Contains(listed, u.Generation) {
			listed = append(listed, u.Generation)
		}
	}
	return staying, listed
}

// part are the workers of one role of a generation.
type part struct{ generation, role string }

func partOf(u *unit) part { return part{u.Generation, u.Role} }

// death is the unit of a part that died last, and until when what was sent to it may come back.
type death struct {
	of    *unit
	until time.Time
}

// comesBack is, of each part of which a worker serves, the last death after which requests
// may still wait for the dead: with the request plane nats the frontend gives such a request
// to another worker of the part only when its time is over (docs/dynamo.md, "When a worker is
// killed").
func (a *admission) comesBack() map[part]death {
	spec := &a.m.server.Spec
	if spec.RequestPlane != state.PlaneNATS {
		return nil
	}
	waits := receiptTimeout(spec.Env) + receiptMargin
	out := map[part]death{}
	for _, u := range a.m.units {
		until := lastDeath(u).Add(waits)
		if p := partOf(u); until.After(a.in.Now) && until.After(out[p].until) {
			out[p] = death{of: u, until: until}
		}
	}
	maps.DeleteFunc(out, func(p part, _ death) bool {
		return !slices.ContainsFunc(a.m.units, func(u *unit) bool { return partOf(u) == p && u.is(serving) })
	})
	return out
}

// lastDeath is when the first rank of a unit, which is the one that gets requests, ended that
// had been ready; zero: it is not known to have.
func lastDeath(u *unit) (at time.Time) {
	for _, x := range u.Actors {
		for _, e := range []*state.Exit{x.Exit, x.LastExit} { // both where the next attempt failed, too
			if x.Bundle == 0 && e != nil && e.ReadyFor > 0 && e.At.After(at) {
				at = e.At
			}
		}
	}
	return at
}

const (
	// dynamoReceiptTimeout is how long Dynamo's frontend waits for a worker's receipt of a
	// request by NATS, unless its environment says otherwise.
	dynamoReceiptTimeout = 10 * time.Second
	receiptTimeoutEnv    = "DYN_NATS_REQUEST_TIMEOUT_SECS"
	// longestReceipt is how long is waited for at most, whatever that says: a roll is not held
	// up by one request for hours.
	longestReceipt = time.Minute
	// receiptMargin is for what is sent to a worker while the kernel ends it (16 ms were
	// measured), and for the way of the request to another one.
	receiptMargin = time.Second
)

// receiptTimeout is how long a frontend with a server's environment waits for a receipt.
func receiptTimeout(env state.Env) time.Duration {
	if n, err := strconv.ParseUint(env[receiptTimeoutEnv].Value, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, longestReceipt)
	}
	return dynamoReceiptTimeout
}

// deadRegistered reports whether some instance of a generation stands in etcd that no
// process has told is its own. It is revoked, or runs out, in 10 s at most.
func (s *server) deadRegistered(generation string) bool {
	namespace := actors.Namespace(s.Spec.DynamoNamespace, generation)
	owners := map[int64]int{}
	for _, u := range s.units {
		noteOwners(owners, u, 1)
	}
	return slices.ContainsFunc(s.regs.Instances, func(i state.Instance) bool {
		return i.Namespace == namespace && owners[i.Lease] == 0
	})
}
