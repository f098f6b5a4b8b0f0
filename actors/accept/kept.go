package accept

import (
	"slices"

	"dynctl/actors"
	"dynctl/state"
)

// settled is what the status of a model keeps, brought up to date, and whether that
// changes it. Every status is read by the round that replaces it, so a generation
// that was Ready for one round only is noted all the same.
func (a *accepter) settled(m *acceptedModel) (s storedTemplates, changed bool) {
	s = m.stored
	if s.Model == nil {
		return s, false
	}
	proven := !s.Model.Proven && proved(m.Status, s.Model.Generation)
	if proven {
		t := *s.Model
		t.Proven = true
		s.Model = &t
	}
	s, changed = s.pruned(func() map[string]bool { return a.generations(m) })
	return s, changed || proven
}

// proved reports whether a status finds a generation ready. Whether a later revision was
// rejected, which is part of Ready, does not matter here.
func proved(st *state.Status, generation string) bool {
	if st == nil || st.Generation != generation {
		return false
	}
	for _, typ := range []string{state.CondWorkersReady, state.CondRegistered, state.CondRouterReady} {
		if c, _ := st.Condition(typ); c.Status != state.StatusTrue {
			return false
		}
	}
	return true
}

// generations are those of the units of a model. While the agent has not told all,
// the placements of the status stand for what it will.
func (a *accepter) generations(m *acceptedModel) map[string]bool {
	out := map[string]bool{}
	for _, u := range a.unitsOf(m.key) {
		out[u.Generation] = true
	}
	if m.Status != nil {
		for _, x := range m.Status.Placements {
			out[x.Generation] = true
		}
	}
	return out
}

// pruned drops what is needed no more: a generation that was Ready has nothing to go
// back to, and a template without units is nobody's. used are the generations that have
// some, asked for only where a template may be dropped.
func (s storedTemplates) pruned(used func() map[string]bool) (out storedTemplates, changed bool) {
	out = s
	if s.Model.Proven && s.Previous != nil {
		out.Others = append([]actors.ModelTemplate{*s.Previous}, s.Others...)
		out.Previous, changed = nil, true
	}
	if len(out.Others) == 0 {
		return out, changed
	}
	there := used()
	left := slices.DeleteFunc(slices.Clone(out.Others), func(t actors.ModelTemplate) bool {
		return !there[t.Generation] || t.Generation == s.Model.Generation
	})
	if len(left) != len(out.Others) {
		out.Others, changed = left, true
	}
	return out, changed
}

// replaced puts another template in the place of the wanted one. The last that was
// Ready is what it goes back to if it does not start.
func (s storedTemplates) replaced(t actors.ModelTemplate) storedTemplates {
	var before []actors.ModelTemplate
	if s.Model != nil {
		before = append(before, *s.Model)
	}
	if s.Previous != nil {
		before = append(before, *s.Previous)
	}
	out := storedTemplates{Model: &t}
	for _, o := range append(before, s.Others...) {
		switch {
		case o.Generation == t.Generation:
			t.Proven = t.Proven || o.Proven
		case o.Proven && out.Previous == nil:
			out.Previous = &o
		default:
			out.Others = append(out.Others, o)
		}
	}
	return out
}
