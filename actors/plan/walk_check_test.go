package plan_test

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/plan"
	"dynctl/state"
)

type fataler interface{ Fatalf(string, ...any) }

// checkPure fails unless a plan leaves its input as it is and does not depend on its order.
func (w *walk) checkPure(t fataler, in actors.Input) {
	before := make([]state.Unit, len(in.Observed.Units))
	for i, u := range in.Observed.Units {
		before[i] = clone(*u)
	}
	want := planUntouched(t, in)
	for i, u := range in.Observed.Units {
		if d := cmp.Diff(before[i], clone(*u)); d != "" {
			t.Fatalf("the input was changed:\n%s", d)
		}
	}
	other := in
	other.Observed.Units, other.Observed.Nodes = slices.Clone(in.Observed.Units), slices.Clone(in.Observed.Nodes)
	other.Desired.Models = slices.Clone(in.Desired.Models)
	slices.Reverse(other.Observed.Units)
	slices.Reverse(other.Observed.Nodes)
	slices.Reverse(other.Desired.Models)
	if d := cmp.Diff(want, plan.Plan(other)); d != "" {
		t.Fatalf("another order, another plan:\n%s", d)
	}
}

// check is what must hold of every plan, however the cluster looks.
func (w *walk) check(t fataler, in actors.Input, r actors.Result) {
	if (w.agentAway || w.unsynced) && acts(r) {
		t.Fatalf("acts while the agent is away: %+v", r)
	}
	w.checkUnits(t, r)
	for _, s := range r.Sweeps {
		if u := w.units[s.Key]; u == nil || u.StoreID != "store" || w.has(state.ModelKey(u.Server, u.Model)) {
			t.Fatalf("%s would be swept: %+v", s.Key, s)
		}
	}
	w.checkRevokes(t, r)
	w.checkRoom(t, r)
	for _, m := range in.Desired.Models {
		w.checkBudget(t, in, m, r)
	}
}

// checkUnits: at most one thing is done to a unit, and none to another's.
func (w *walk) checkUnits(t fataler, r actors.Result) {
	started, stopped := map[state.UnitKey]bool{}, map[state.UnitKey]bool{}
	for _, s := range r.Starts {
		k := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
		if started[k] {
			t.Fatalf("%s is started twice in one plan%s", k, w.story(s.Template.Model))
		}
		started[k] = true
	}
	for _, s := range r.Stops {
		if started[s.Key] || stopped[s.Key] {
			t.Fatalf("%s is started and stopped, or stopped twice, in one plan%s", s.Key, w.story(s.Model))
		}
		stopped[s.Key] = true
		if u := w.units[s.Key]; u == nil || u.StoreID != "store" {
			t.Fatalf("%s is not ours and would be stopped", s.Key)
		}
	}
}

func (w *walk) checkRevokes(t fataler, r actors.Result) {
	if len(r.Revokes) == 0 {
		return
	}
	for _, k := range sortedKeys(w.units) {
		for _, a := range w.units[k].Actors {
			for _, x := range r.Revokes {
				if a.ChildPID != 0 && a.Lease == x.Lease {
					t.Fatalf("the lease %d of the live worker %s would be revoked", x.Lease, a.Name)
				}
			}
		}
	}
}

// checkRoom fails if more GPUs are requested than are free. A group that waits
// for one node to have enough holds none yet.
func (w *walk) checkRoom(t fataler, r actors.Result) {
	asked := 0
	for _, s := range r.Starts {
		k := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
		if u := w.units[k]; u != nil && u.PlacementGroup.State != "REMOVED" && u.PlacementGroup.State != "RESCHEDULING" {
			continue
		}
		for _, b := range s.Template.PlacementGroup.Bundles {
			asked += b.GPU
		}
	}
	if asked == 0 {
		return
	}
	left := 0
	for _, n := range w.free(func(*state.Unit) bool { return false }) {
		left += n.FreeGPUs
	}
	if asked > left {
		t.Fatalf("%d GPUs are asked for, %d are left: %v%s", asked, left, starts(r), w.story(r.Starts[0].Template.Model))
	}
}

// free is what is left on each live node without some units.
func (w *walk) free(without func(*state.Unit) bool) []place.Room {
	var out []place.Room
	at := map[string]int{}
	for _, n := range w.nodes {
		if n.Alive {
			at[n.ID] = len(out)
			out = append(out, place.Room{Node: n, FreeGPUs: n.GPUs, FreeCPUs: n.CPUs})
		}
	}
	for _, u := range w.units {
		if u.PlacementGroup.State != "CREATED" || without(u) {
			continue
		}
		for b, id := range u.PlacementGroup.Nodes {
			if i, ok := at[id]; ok {
				out[i].FreeGPUs -= u.PlacementGroup.Bundles[b].GPU
				out[i].FreeCPUs -= u.PlacementGroup.Bundles[b].CPU
			}
		}
	}
	return out
}

// serves reports whether requests reach a unit: the truth, whether or not it can be seen.
func (w *walk) serves(u *state.Unit) bool {
	if u.State != state.UnitRunning {
		return false
	}
	_, ok := w.instances[u.Server][u.Actors[0].Lease]
	return ok
}

// tally counts the units of one role that serve: of all generations, of the wanted one,
// and those that a plan stops; surplus are those of the latter that are beyond the count.
type tally struct{ serve, stop, fresh, surplus int }

// checkBudget judges every stop of a unit that serves, and every execution in place.
func (w *walk) checkBudget(t fataler, in actors.Input, m *actors.DesiredModel, r actors.Result) {
	stops := map[state.UnitKey]string{}
	for _, s := range r.Stops {
		if u := w.units[s.Key]; s.Model == m.Name && w.serves(u) {
			stops[s.Key] = s.Reason
		}
	}
	w.checkRestarts(t, m, r)
	if len(stops) == 0 {
		return
	}
	template := &m.Template
	if c, _ := w.conditionOf(m.Name, state.CondUpToDate); c.Reason == actors.CondRolledBack && m.Previous != nil && m.Status.AcceptedRevision == m.Accepted {
		template = m.Previous
	}
	roles := w.tallies(m.Name, template.Generation, stops)
	for _, s := range r.Stops {
		if stops[s.Key] != "" {
			w.checkStop(t, in, m, stopOf{s, w.units[s.Key], template, roles, stops})
		}
	}
}

// tallies are those of a model's roles, while a generation is wanted and the reasons of
// stops are given.
func (w *walk) tallies(model, generation string, stops map[state.UnitKey]string) map[string]*tally {
	roles := map[string]*tally{}
	for _, u := range w.of(model) {
		x := roles[u.Role]
		if x == nil {
			x = &tally{}
			roles[u.Role] = x
		}
		if !w.serves(u) {
			continue
		}
		x.serve++
		if u.Generation == generation {
			x.fresh++
		}
		if why := stops[u.Key()]; why != "" {
			x.stop++
			if why == actors.ReasonScaledDown {
				x.surplus++ // what else leaves is judged by the budget of the roll
			}
		}
	}
	return roles
}

func (w *walk) conditionOf(name, typ string) (state.Condition, bool) {
	st, ok := w.statuses[state.ModelKey("default", name)]
	if !ok {
		return state.Condition{}, false
	}
	return st.Condition(typ)
}

// stopOf is one stop of a unit that serves.
type stopOf struct {
	actors.End
	unit     *state.Unit
	template *actors.ModelTemplate // in force
	roles    map[string]*tally
	stops    map[state.UnitKey]string
}

// wanted is the count of the unit's role; 0 where the generation in force has none.
func (s stopOf) wanted(m *actors.DesiredModel) int {
	has := func(t *actors.ModelTemplate) bool {
		return slices.ContainsFunc(t.Roles, func(r actors.RoleTemplate) bool { return r.Role == s.unit.Role })
	}
	switch {
	case !has(s.template):
		return 0
	case has(&m.Template):
		return desiredOf(m, s.unit.Role)
	}
	return max(s.template.Counts[s.unit.Role], 1)
}

// checkStop fails if a serving unit is stopped for a reason that does not allow it.
func (w *walk) checkStop(t fataler, in actors.Input, m *actors.DesiredModel, s stopOf) {
	bad := func(why string) {
		t.Fatalf("%s serves and is stopped (%s): %s%s", s.Key, s.Reason, why, w.story(m.Name))
	}
	mine, want := s.roles[s.unit.Role], s.wanted(m)
	switch s.Reason {
	case actors.ReasonDeleted:
		if w.has(state.ModelKey(m.Server, m.Name)) {
			bad("its spec is there")
		}
	case actors.ReasonSuspended:
		if !m.Spec.Suspend {
			bad("the spec does not say so")
		}
	case actors.ReasonScaledDown:
		if s.unit.Replica < want {
			bad("its index is within the count")
		}
		if mine.serve-mine.surplus < min(want, mine.serve) && !w.unplaceable(m, s.unit.Role, want) {
			bad("fewer are left than are wanted, and those that stay may come")
		}
	case actors.ReasonSuperseded:
		for _, u := range w.of(m.Name) {
			if u.Generation == s.Generation && u.Role != s.unit.Role {
				bad("its other role is there")
			}
		}
	case actors.ReasonRollOld, actors.ReasonMakeRoom:
		w.checkRoll(m, s, mine.serve-mine.stop, bad)
	default:
		bad("that is no reason")
	}
	_ = in
}

// checkRoll judges a stop for a roll: left of its role serve afterwards.
func (w *walk) checkRoll(m *actors.DesiredModel, s stopOf, left int, bad func(string)) {
	if w.etcdAway || w.frontendAway {
		bad("who serves is not known")
	}
	if s.Generation == s.template.Generation {
		bad("it is of the generation in force")
	}
	unavailable := s.mayMiss(m)
	if s.Reason == actors.ReasonMakeRoom && unavailable == 0 {
		bad("nothing may be missing")
	}
	modes := false // the mode changes, or a disaggregated generation goes as a whole
	for role := range s.roles {
		modes = modes || role != state.RoleAggregated
	}
	want := s.wanted(m)
	if left < want-unavailable && !modes {
		bad(fmt.Sprintf("%d would be left of %d", left, want))
	}
	if modes && s.Reason == actors.ReasonRollOld && want > 0 && left < want-max(unavailable, 1) && s.roles[s.unit.Role].fresh < want {
		bad(fmt.Sprintf("%d would be left of %d", left, want))
	}
	w.checkHalves(m, s, bad)
}

// mayMiss is how many units the spec lets be missing for a stop of a roll.
func (s stopOf) mayMiss(m *actors.DesiredModel) int {
	switch u := m.Spec.Update.MaxUnavailable; {
	case u != nil:
		return *u
	case s.Reason == actors.ReasonMakeRoom:
		return 1
	}
	return 0
}

// checkHalves fails if an old generation is left with prefill workers alone: what they
// have prefilled needs its decode workers.
func (w *walk) checkHalves(m *actors.DesiredModel, s stopOf, bad func(string)) {
	if s.unit.Role != state.RoleDecode {
		return
	}
	left := map[string]int{}
	for _, u := range w.of(m.Name) {
		if u.Generation == s.Generation && w.serves(u) && s.stops[u.Key()] == "" {
			left[u.Role]++
		}
	}
	if left[state.RolePrefill] > 0 && left[state.RoleDecode] == 0 {
		bad("prefill workers of its generation would be alone")
	}
}

// unplaceable reports whether a replica that stays does not come: it fails, or there is no room.
func (w *walk) unplaceable(m *actors.DesiredModel, role string, want int) bool {
	there := 0
	for _, u := range w.of(m.Name) {
		if u.Role != role || u.Replica >= want {
			continue
		}
		if u.PlacementGroup.State == "CREATED" || u.PlacementGroup.State == "PENDING" {
			there++
		}
		if u.Failures >= 3 || slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return a.Failures >= 3 }) {
			return true
		}
	}
	return there < want
}

// checkRestarts fails if a restart takes more serving units than may be
// missing, and none while it is not known who does.
func (w *walk) checkRestarts(t fataler, m *actors.DesiredModel, r actors.Result) {
	anew := map[string]int{}
	for _, s := range r.Starts {
		if s.Reason != actors.ReasonRestartAsked || s.Template.Model != m.Name {
			continue
		}
		if w.etcdAway || w.frontendAway {
			t.Fatalf("%s is restarted while it is not known who serves%s", s.Template.Unit, w.story(m.Name))
		}
		if u := w.units[state.UnitKey{Server: m.Server, Unit: s.Template.Unit}]; w.serves(u) {
			anew[u.Role]++
		}
	}
	allowed := 1
	if u := m.Spec.Update.MaxUnavailable; u != nil {
		allowed = *u
	}
	for role, n := range anew {
		if n > allowed {
			t.Fatalf("%d %s workers of %s that serve are restarted at once%s", n, role, m.Name, w.story(m.Name))
		}
	}
}

func desiredOf(m *actors.DesiredModel, role string) int {
	n := 1
	count := func(p *int) int {
		if p == nil {
			return n
		}
		return *p
	}
	disagg := m.Spec.Mode == state.ModeDisagg
	switch {
	case role == state.RoleAggregated && !disagg:
		return count(m.Spec.Replicas)
	case role == state.RolePrefill && disagg && m.Spec.Prefill != nil:
		return count(m.Spec.Prefill.Replicas)
	case role == state.RoleDecode && disagg && m.Spec.Decode != nil:
		return count(m.Spec.Decode.Replicas)
	case disagg == (role != state.RoleAggregated):
		return n
	}
	return 0
}

func starts(r actors.Result) []string {
	var out []string
	for _, s := range r.Starts {
		out = append(out, s.Template.Unit+" "+s.Reason)
	}
	return out
}
