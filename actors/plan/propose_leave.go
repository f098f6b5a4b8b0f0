package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// rule is what wishes that a unit ends, or is restarted on purpose. The table of
// vetoes says which of them holds for which.
type rule int

const (
	beyondCount  rule = iota // its index is beyond the count
	servesNobody             // of an old generation, and not needed
	unwantedRole             // of a role that the generation in force does not have
	makesRoom                // for a replica that finds none beside it
	wholePieces              // the same, where generations go as a whole
	replaced                 // enough new ones serve in its place
	restarted                // the restart text changed: restarted in place
)

// leave is why a unit is to end.
type leave struct {
	reason, message string
	grace           time.Duration // 0: the model's own
	ahead           bool          // a replica takes its place
}

// strandedGrace is how long the ranks that are left of a unit may take: they serve nobody.
const strandedGrace = 5 * time.Second

var (
	leaveSurplus    = leave{reason: actors.ReasonScaledDown, message: "the spec asks for fewer replicas"}
	leaveStranded   = leave{reason: actors.ReasonPlacementRetry, message: "a node with part of its ranks is gone; what is left ends first", grace: strandedGrace}
	leaveUnplaced   = leave{reason: actors.ReasonSuperseded, message: "its group is gone and another generation is wanted"}
	leaveStray      = leave{reason: actors.ReasonRollOld, message: "the new set of workers is ready"}
	leaveReplaced   = leave{reason: actors.ReasonRollOld, message: "enough replicas of the new generation are ready"}
	leaveIdleRoom   = leave{reason: actors.ReasonMakeRoom, message: "it does not serve, and a replica of the new generation needs its place", ahead: true}
	leaveForRoom    = leave{reason: actors.ReasonMakeRoom, message: "no GPU is free for a replica beside this one", ahead: true}
	leaveDeleted    = leave{reason: actors.ReasonDeleted, message: "the spec was deleted"}
	leaveSuspended  = leave{reason: actors.ReasonSuspended, message: "spec.suspend is true"}
	leaveRecreating = func(s *server) leave {
		return leave{reason: actors.ReasonInfraRecreated, message: s.blockedMessage}
	}
	leaveUseless = func(u *unit) leave {
		return leave{reason: actors.ReasonSuperseded, message: "generation " + u.Generation + " is no longer wanted and this unit does not serve"}
	}
)

// proposeSurplus are the replicas of a role beyond the count, the highest index first.
func proposeSurplus(r *role) []*unit {
	return lastFirst(which(r.fresh, func(u *unit) bool { return u.standing == surplus && !u.is(leaving) }))
}

// proposeUseless are the old units that serve nobody and will not be needed:
//
//  1. those whose other role is gone: alone they are not listed and get no request
//     (docs/dynamo.md, "Between generations")
//  2. those that were never ready, of a generation that never was
//  3. those that do not run, of a generation that another old one superseded
func proposeUseless(m *model) (out []*unit) {
	serve := map[string]bool{} // old generations
	for _, u := range m.units {
		if u.standing == old && u.is(serving) && !m.unchosen(u) {
			serve[u.Generation] = true
		}
	}
	for _, u := range m.units {
		if u.standing == old && !u.is(leaving) && m.useless(u, serve) {
			out = append(out, u)
		}
	}
	return out
}

func (m *model) useless(u *unit, serve map[string]bool) bool {
	if u.is(serving) { // rule 1 of proposeUseless
		return m.server.frontend.Known && !u.listed && m.unpaired(u)
	}
	t := m.templateOf(u.Generation)
	proven := t != nil && t.Proven
	if !proven && !u.everReady() { // rule 2 of proposeUseless
		return true
	}
	return !u.running() && len(serve) > 0 && !serve[u.Generation] // rule 3 of proposeUseless
}

// unpaired reports whether no unit of the other role of its generation is left, not even
// one that drains.
func (m *model) unpaired(u *unit) bool {
	return u.Role != state.RoleAggregated && !slices.ContainsFunc(m.units, func(o *unit) bool {
		return o.Generation == u.Generation && o.Role != u.Role
	})
}

// proposeReplaced are the old units that serve, by role of the generation in force, the
// highest index first: all of them are to go some day.
func proposeReplaced(m *model) (out []*unit) {
	for _, r := range m.roles {
		out = append(out, lastFirst(which(r.old, isServing))...)
	}
	return out
}

// proposeStrays are the units whose role nobody wants: of a model that went from
// aggregated to disaggregated, or back.
func proposeStrays(m *model) []*unit {
	return which(m.units, func(u *unit) bool { return !u.is(leaving) && m.role(u.Role).stray })
}

// proposeIdle are the old units that serve nobody, as those that make room first: those
// that do not run, then, where something may be missing, those that run and are not
// registered.
func proposeIdle(m *model) []*unit {
	units := lastFirst(which(m.units, func(u *unit) bool { return u.standing == old && !u.is(leaving) && !u.is(serving) }))
	out := which(units, func(u *unit) bool { return !u.running() })
	if m.nothingMayBeMissing() {
		return out
	}
	return append(out, which(units, (*unit).running)...)
}

// proposeUnchosen are the old units that are registered and get no request, in pieces.
func proposeUnchosen(m *model) [][]*unit { return pieces(m, m.unchosen) }

// proposePieces are the old units that serve, in pieces: first those without requests.
func proposePieces(m *model) [][]*unit {
	return append(proposeUnchosen(m), pieces(m, func(u *unit) bool { return !m.unchosen(u) })...)
}

// pieces are old units in the order in which they can be spared: those beyond one of each
// role, one by one, then what is left of each generation at once. The generation that
// serves least goes first.
func pieces(m *model, which func(*unit) bool) [][]*unit {
	by := map[string][]*unit{}
	for _, u := range lastFirst(m.units) {
		if u.standing == old && u.is(serving) && which(u) {
			by[u.Generation] = append(by[u.Generation], u)
		}
	}
	generations := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(by[a]), len(by[b])), cmp.Compare(a, b))
	})
	var spare, whole [][]*unit
	for _, g := range generations {
		left := map[string]int{}
		for _, u := range by[g] {
			left[u.Role]++
		}
		var rest []*unit
		for _, u := range by[g] {
			if u.Role == state.RoleAggregated || left[u.Role] > 1 {
				spare = append(spare, []*unit{u})
				left[u.Role]--
				continue
			}
			rest = append(rest, u)
		}
		if len(rest) > 0 {
			whole = append(whole, rest)
		}
	}
	return append(spare, whole...)
}

// surge is how many units beyond the count may exist during a roll.
func (m *model) surge() int {
	if n := m.Spec.Update.MaxSurge; n != nil {
		return *n
	}
	return 1
}

// maxUnavailable is how many replicas may be missing, where the spec says so.
func (m *model) maxUnavailable(unless int) int {
	if n := m.Spec.Update.MaxUnavailable; n != nil {
		return *n
	}
	return unless
}

func (m *model) nothingMayBeMissing() bool { return m.maxUnavailable(1) == 0 }
