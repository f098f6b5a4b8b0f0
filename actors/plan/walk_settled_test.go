package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/plan"
	"dynctl/state"
	"dynctl/state/same"
)

// What must hold once a walk has come to rest.

// converged says what must hold once nothing disturbs any more.
func (w *walk) converged(t fataler) {
	in, _ := w.input()
	r := plan.Plan(in)
	for _, s := range r.Starts {
		if !w.isBroken(s.Template.Generation) {
			t.Fatalf("no fixpoint: starts %v%s", starts(r), w.story(s.Template.Model))
		}
	}
	if len(r.Stops)+len(r.Sweeps)+len(r.Revokes)+len(r.Gone) > 0 {
		t.Fatalf("no fixpoint: stops %v sweeps %v revokes %v%s", r.Stops, r.Sweeps, r.Revokes, w.story("a"))
	}
	for _, m := range in.Desired.Models {
		w.settledModel(t, m)
	}
	foreign := 0
	for _, k := range sortedKeys(w.units) {
		u := w.units[k]
		if u.State == state.UnitStopping {
			t.Fatalf("%s never ends%s", k, w.story(u.Model))
		}
		if k.Server == "foreign" {
			foreign++
			continue
		}
		if _, ok := w.specs[state.ModelKey(k.Server, u.Model)]; !ok && u.Model != "" {
			t.Fatalf("unit %s belongs to no spec", k)
		}
	}
	if foreign != 2 {
		t.Fatalf("%d units of others are left, want 2", foreign)
	}
}

func (w *walk) isBroken(generation string) bool {
	_, half := w.brokenRole[generation]
	return half || w.broken[generation]
}

// settledModel judges one model at the end.
func (w *walk) settledModel(t fataler, m *actors.DesiredModel) {
	key := state.ModelKey(m.Server, m.Name)
	bad := func(format string, args ...any) {
		t.Fatalf("%s %s%s", key, fmt.Sprintf(format, args...), w.story(m.Name))
	}
	st, ok := w.statuses[key]
	upToDate, _ := st.Condition(state.CondUpToDate)
	if m.Deleted != nil {
		if (ok || len(w.of(m.Name)) > 0) && upToDate.Reason != actors.CondDeletionHeld {
			bad("was deleted and is still there")
		}
		return
	}
	if !ok {
		bad("has no status")
	}
	switch {
	case m.Accepted == 0:
		return
	case m.Spec.Suspend:
		if len(w.of(m.Name)) > 0 {
			bad("is suspended and has units")
		}
		return
	case w.isBroken(m.Template.Generation), upToDate.Reason == actors.CondRolledBack: // until it is edited
		w.settledBroken(m, upToDate, bad)
		return
	}
	w.settledGood(m, bad)
}

// settledBroken: a generation that does not start leaves the one before it serving.
func (w *walk) settledBroken(m *actors.DesiredModel, upToDate state.Condition, bad func(string, ...any)) {
	if m.Previous == nil {
		return // there is none that ever was Ready
	}
	if c, _ := w.conditionOf(m.Name, state.CondScheduled); c.Reason == actors.ReasonInsufficientGPUs && upToDate.Reason != actors.CondRolledBack {
		return // it was not tried: its nodes may come, and the units of the old one are gone
	}
	served, _ := w.conditionOf(m.Name, state.CondAvailable)
	possible := true
	for _, r := range m.Previous.Roles {
		possible = possible && !w.isBroken(m.Previous.Generation) && w.fits(m, m.Previous.Generation, r)
	}
	if desired(m) > 0 && possible && served.Status != state.StatusTrue {
		bad("has a generation that does not start, and the one before it does not serve: %+v", upToDate)
	}
	some := slices.ContainsFunc(w.of(m.Name), func(u *state.Unit) bool {
		return u.Generation == m.Template.Generation && u.State == state.UnitRunning
	})
	if desired(m) > 0 && !some && upToDate.Status == state.StatusTrue {
		bad("does not start and says that it is up to date")
	}
}

func desired(m *actors.DesiredModel) (n int) {
	for _, r := range m.Template.Roles {
		n += desiredOf(m, r.Role)
	}
	return n
}

// fits reports whether a unit of a role would find room beside all but the model's units of
// other generations.
func (w *walk) fits(m *actors.DesiredModel, generation string, r actors.RoleTemplate) bool {
	_, unfit := place.Worker(r.Needs, w.free(func(u *state.Unit) bool { return u.Model == m.Name && u.Generation != generation }))
	return unfit == nil
}

// settled is a model after everything has come to rest.
type settled struct {
	*walk
	m    *actors.DesiredModel
	here map[string]int // units of the wanted generation that run, by role
	old  int            // units of other generations
	bad  func(string, ...any)
}

func (s settled) condition(typ string) state.Condition {
	c, _ := s.conditionOf(s.m.Name, typ)
	return c
}

// settledGood: whatever starts does, as far as there is room; then nothing is left of
// other generations, nor beyond the count.
func (w *walk) settledGood(m *actors.DesiredModel, bad func(string, ...any)) {
	s := settled{walk: w, m: m, here: map[string]int{}, bad: bad}
	for _, u := range w.of(m.Name) {
		switch {
		case u.Generation != m.Template.Generation:
			s.old++
		case u.State == state.UnitRunning:
			s.here[u.Role]++
		}
	}
	if short, fit := s.shortfall(); short {
		s.isShort(fit)
	} else {
		s.isWhole()
	}
}

// shortfall reports whether some role has too few units, and whether one of each such
// role finds room when the old generation is gone.
func (s settled) shortfall() (short, fit bool) {
	room := s.free(func(u *state.Unit) bool { return u.Model == s.m.Name && u.Generation != s.m.Template.Generation })
	fit = true
	for _, r := range s.m.Template.Roles {
		if s.here[r.Role] >= desiredOf(s.m, r.Role) {
			continue
		}
		short = true
		shape, unfit := place.Worker(r.Needs, room)
		fit = fit && unfit == nil
		room = shape.Take(room)
	}
	return short, fit
}

func (s settled) isWhole() {
	m := s.m
	kept := m.Spec.Update.MaxUnavailable != nil && *m.Spec.Update.MaxUnavailable == 0 // then no restart either
	if c := s.condition(state.CondUpToDate); c.Status != state.StatusTrue && m.Rejected == nil && !kept {
		s.bad("is not up to date: %+v", c)
	}
	if c := s.condition(state.CondReady); c.Status != state.StatusTrue && m.Rejected == nil && desired(m) > 0 {
		s.bad("is not Ready: %+v", c)
	}
	if s.old > 0 {
		s.bad("has %d units of other generations", s.old)
	}
	for _, r := range m.Template.Roles {
		if n := s.here[r.Role]; n > desiredOf(m, r.Role) {
			s.bad("has %d units of role %q", n, r.Role)
		}
	}
}

// isShort judges a model that has too few units; fit: there would be room.
func (s settled) isShort(fit bool) {
	if s.condition(state.CondReady).Status == state.StatusTrue {
		s.bad("is short and says that it is Ready")
	}
	if s.old == 0 {
		if fit {
			s.bad("is short though there is room")
		}
		return
	}
	if fit && !s.mayStall(s.m, s.here) && !s.othersFirst(s.m) {
		s.bad("is short though there is room beside or in place of the old generation")
	}
	if c := s.condition(state.CondUpToDate); c.Reason != actors.WaitRolloutStalled && s.m.Rejected == nil {
		s.bad("stands still in a roll and does not say so: %+v", c)
	}
	if s.condition(state.CondAvailable).Status != state.StatusTrue && s.oldServes(s.m) {
		s.bad("has an old generation that could serve")
	}
}

// mayStall reports whether the budget alone keeps the old generation: nothing may be missing,
// or so many serve already as little as may, or one given back is not enough for a
// larger one.
func (w *walk) mayStall(m *actors.DesiredModel, counts map[string]int) bool {
	unavailable := 1
	if u := m.Spec.Update.MaxUnavailable; u != nil {
		unavailable = *u
	}
	if unavailable == 0 {
		return true
	}
	if m.Spec.Mode == state.ModeDisagg || len(m.Template.Roles) > 1 {
		return false
	}
	serving := counts[""]
	var old []*state.Unit
	for _, u := range w.of(m.Name) {
		if u.Generation != m.Template.Generation {
			if u.Role != "" {
				return false
			}
			old = append(old, u)
			if w.serves(u) {
				serving++
			}
		}
	}
	budget := serving - (desiredOf(m, "") - unavailable)
	if budget <= 0 {
		return true
	}
	// The highest indexes are those that would go.
	slices.SortFunc(old, func(a, b *state.Unit) int { return b.Replica - a.Replica })
	gone := map[string]bool{}
	for _, u := range old[:min(budget, len(old))] {
		gone[u.Unit] = true
	}
	_, unfit := place.Worker(m.Template.Roles[0].Needs, w.free(func(u *state.Unit) bool { return gone[u.Unit] }))
	return unfit != nil
}

// othersFirst reports whether a model which comes first waits for room.
func (w *walk) othersFirst(m *actors.DesiredModel) bool {
	return slices.ContainsFunc(w.names, func(n string) bool {
		c, _ := w.conditionOf(n, state.CondScheduled)
		return n < m.Name && c.Reason == actors.ReasonInsufficientGPUs
	})
}

// oldServes reports whether the old generation has what it takes to serve.
func (w *walk) oldServes(m *actors.DesiredModel) bool {
	var roles []string
	for _, u := range w.of(m.Name) {
		if u.Generation != m.Template.Generation && w.serves(u) {
			roles = append(roles, u.Generation+u.Role)
		}
	}
	return slices.ContainsFunc(roles, func(r string) bool {
		g, ok := strings.CutSuffix(r, state.RoleDecode)
		return !ok && !strings.HasSuffix(r, state.RolePrefill) || ok && slices.Contains(roles, g+state.RolePrefill)
	})
}

// planUntouched is a plan that leaves the models that are desired, which others share, as
// they are.
func planUntouched(t fataler, in actors.Input) actors.Result {
	var before []actors.DesiredModel
	for _, m := range in.Desired.Models {
		before = append(before, *m)
	}
	r := plan.Plan(in)
	for i, m := range in.Desired.Models {
		if !same.Bits(&before[i], m) {
			t.Fatalf("the model %s was changed", m.Name)
		}
	}
	return r
}
