package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/plan"
	"dynctl/state"
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
func (w *walk) settledModel(t fataler, m actors.DesiredModel) {
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
func (w *walk) settledBroken(m actors.DesiredModel, upToDate state.Condition, bad func(string, ...any)) {
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

func desired(m actors.DesiredModel) (n int) {
	for _, r := range m.Template.Roles {
		n += desiredOf(m, r.Role)
	}
	return n
}

// fits says that a unit of a role would find room beside all but the model's units of
// other generations.
func (w *walk) fits(m actors.DesiredModel, generation string, r actors.RoleTemplate) bool {
	_, unfit := place.Worker(r.Needs, w.free(func(u *state.Unit) bool { return u.Model == m.Name && u.Generation != generation }))
	return unfit == nil
}

// settledGood: whatever starts does, as far as there is room; then nothing is left of
// other generations, nor beyond the count.
func (w *walk) settledGood(m actors.DesiredModel, bad func(string, ...any)) {
	counts, old := map[string]int{}, 0
	for _, u := range w.of(m.Name) {
		switch {
		case u.Generation != m.Template.Generation:
			old++
		case u.State == state.UnitRunning:
			counts[u.Role]++
		}
	}
	short := false
	room := w.free(func(u *state.Unit) bool { return u.Model == m.Name && u.Generation != m.Template.Generation })
	fit := true // one of each role that misses finds room when the old generation is gone
	for _, r := range m.Template.Roles {
		if counts[r.Role] >= desiredOf(m, r.Role) {
			continue
		}
		short = true
		shape, unfit := place.Worker(r.Needs, room)
		fit = fit && unfit == nil
		room = shape.Take(room)
	}
	condition := func(typ string) state.Condition { c, _ := w.conditionOf(m.Name, typ); return c }
	if !short {
		kept := m.Spec.Update.MaxUnavailable != nil && *m.Spec.Update.MaxUnavailable == 0 // then no restart either
		if c := condition(state.CondUpToDate); c.Status != state.StatusTrue && m.Rejected == nil && !kept {
			bad("is not up to date: %+v", c)
		}
		if c := condition(state.CondReady); c.Status != state.StatusTrue && m.Rejected == nil && desired(m) > 0 {
			bad("is not Ready: %+v", c)
		}
		if old > 0 {
			bad("has %d units of other generations", old)
		}
		for _, r := range m.Template.Roles {
			if n := counts[r.Role]; n > desiredOf(m, r.Role) {
				bad("has %d units of role %q", n, r.Role)
			}
		}
		return
	}
	if condition(state.CondReady).Status == state.StatusTrue {
		bad("is short and says that it is Ready")
	}
	if old == 0 && fit {
		bad("is short though there is room")
	}
	if old > 0 && fit && !w.mayStall(m, counts) && !w.othersFirst(m) {
		bad("is short though there is room beside or in place of the old generation")
	}
	if c := condition(state.CondUpToDate); old > 0 && c.Reason != actors.WaitRolloutStalled && m.Rejected == nil {
		bad("stands still in a roll and does not say so: %+v", c)
	}
	if old > 0 && condition(state.CondAvailable).Status != state.StatusTrue && w.oldServes(m) {
		bad("has an old generation that could serve")
	}
}

// mayStall says that the budget alone keeps the old generation: nothing may be missing,
// or so many serve already as little as may, or one given back is not enough for a
// larger one.
func (w *walk) mayStall(m actors.DesiredModel, counts map[string]int) bool {
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

// othersFirst says that a model which comes first waits for room.
func (w *walk) othersFirst(m actors.DesiredModel) bool {
	return slices.ContainsFunc(w.names, func(n string) bool {
		c, _ := w.conditionOf(n, state.CondScheduled)
		return n < m.Name && c.Reason == actors.ReasonInsufficientGPUs
	})
}

// oldServes says that the old generation has what it takes to serve.
func (w *walk) oldServes(m actors.DesiredModel) bool {
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
