package plan

import (
	"fmt"
	"slices"

	"dynctl/actors"
)

// roll brings every role to its count in the wanted generation.
//
// New ones start while the total stays within the count plus maxSurge and GPUs are free;
// old ones leave as the vetoes allow. Where nothing can surge, old ones make room: see
// admit_room.go.
func (a *admission) roll() {
	short := a.startMissing()
	if !a.m.rolling() {
		a.restart()
		return
	}
	a.stopUseless()
	if a.admitsNone(replaced) {
		return
	}
	short = slices.DeleteFunc(short, func(s shortfall) bool { // those that have just left made place for one
		return s.unfit == nil && a.allowed(s.role) > 0
	})
	if a.underway() {
		short = nil // what is coming up decides first
	}
	a.grant(a.admit(unwantedRole, proposeStrays(a.m), 0), leaveStray)
	decided, unplaceable := a.makeRoom(short)
	if decided {
		return
	}
	unavailable := 0
	if !unplaceable {
		unavailable = a.m.maxUnavailable(0)
	}
	a.grant(a.admit(replaced, proposeReplaced(a.m), unavailable), leaveReplaced)
}

// stopUseless lets old units go that serve nobody and will not be needed; of a role whose
// new units are all ready, every one that serves nobody.
func (a *admission) stopUseless() {
	set := proposeUseless(a.m)
	for _, r := range a.m.roles {
		if count(r.fresh, a.ready) < r.count {
			continue
		}
		for _, u := range r.old {
			if !u.is(leaving) && !u.is(serving) && !slices.Contains(set, u) {
				set = append(set, u)
			}
		}
	}
	for _, u := range a.admit(servesNobody, set, 0) {
		a.grantOne(u, leaveUseless(u))
	}
}

// underway reports whether a new unit exists that may yet become ready. In a disaggregated
// model one that serves waits for the other role, which may have to find room first.
func (a *admission) underway() bool {
	whole := true
	for _, r := range a.m.roles {
		whole = whole && (r.count == 0 || count(r.fresh, a.serving) > 0)
	}
	for _, r := range a.m.roles {
		for _, u := range r.fresh {
			waits := a.displaced[r] != nil && u.is(lost)
			if a.stays(u) && !waits && (!a.serving(u) || whole && !a.ready(u)) {
				return true
			}
		}
	}
	return false
}

// restart restarts in place the units whose restart text is not the spec's: one at a time, or as
// many as maxUnavailable allows. The rules, first match wins:
//
//  1. who serves is not known to us or to the frontend: none
//  2. the unit does not run: at once
//  3. it runs and is not ready: while fewer than allowed are on their way
//  4. it is ready: also while fewer than allowed are missing
func (a *admission) restart() {
	if a.admitsNone(restarted) { // rule 1
		return
	}
	m := a.m
	allowed := m.maxUnavailable(1)
	for _, r := range m.roles {
		out := r.count - count(r.fresh, a.ready)
		underway := count(r.fresh, func(u *unit) bool { return m.restarted(u) && a.stays(u) && !u.ready() })
		for _, u := range proposeRestart(m, r) {
			if a.leaving[u] || a.starting(u.Key()) {
				continue
			}
			if u.running() { // otherwise rule 2
				if allowed == 0 {
					m.stalled = "a restart is in place and maxUnavailable is 0"
				}
				if underway >= allowed || u.ready() && out >= allowed { // rules 3 and 4
					continue
				}
				underway++
				if u.ready() {
					out++
				}
			}
			a.executeAnew(r, u)
		}
	}
}

func (a *admission) executeAnew(r *role, u *unit) {
	m := a.m
	t := a.template(m, *m.inForce, *r.RoleTemplate, unitAt{index: u.Replica, worker: u.Worker, shape: shapeOf(u.Unit), restart: m.Spec.Restart})
	attempts := map[string]actors.Attempt{}
	for _, x := range t.Actors {
		was, _ := attempted(u.Unit, x.Name)
		attempts[x.Name] = actors.Attempt{Number: was + 1}
	}
	w := renewal{attempts: attempts, reason: actors.ReasonRestartAsked, message: fmt.Sprintf("restart %q", m.Spec.Restart)}
	a.execute(w, t, u.Unit, m.Accepted)
}
