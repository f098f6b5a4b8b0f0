package actors

import (
	"cmp"
	"slices"

	"dynctl/state"
)

// sourceOf is what a unit is made from; nil when it is kept no more.
func (m *modelView) sourceOf(u state.Unit) (*ModelTemplate, *RoleTemplate) {
	source := &m.template
	if u.Generation != source.Generation {
		source = m.otherTemplate(u.Generation)
	}
	if source == nil {
		return nil, nil
	}
	role := source.role(u.Role)
	if role == nil {
		return nil, nil
	}
	return source, role
}

// otherTemplate finds a kept template of another generation than the one in force.
func (m *modelView) otherTemplate(generation string) *ModelTemplate {
	if m.Template.Generation == generation {
		return &m.Template
	}
	if m.Previous != nil && m.Previous.Generation == generation {
		return m.Previous
	}
	for i := range m.Others {
		if m.Others[i].Generation == generation {
			return &m.Others[i]
		}
	}
	return nil
}

// keeps says that the template of a unit is kept.
func (m *modelView) keeps(u state.Unit) bool {
	source, _ := m.sourceOf(u)
	return source != nil
}

func (t *ModelTemplate) role(name string) *RoleTemplate {
	i := slices.IndexFunc(t.Roles, func(r RoleTemplate) bool { return r.Role == name })
	if i < 0 {
		return nil
	}
	return &t.Roles[i]
}

// units are all units of the model, in the order of their ids.
func (m *modelView) units() []unitView {
	out := slices.Clone(m.stray)
	for _, r := range m.roles {
		out = append(out, r.fresh...)
		out = append(out, r.old...)
	}
	slices.SortFunc(out, func(a, b unitView) int { return cmp.Compare(a.Unit.Unit, b.Unit.Unit) })
	return out
}
