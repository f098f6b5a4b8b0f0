package state

import (
	"cmp"
	"maps"
	"slices"
)

// ModelIndex finds the models that one could clash with, so that checking many costs
// no more than their number. The zero value is empty.
type ModelIndex struct {
	models map[Key]Model
	near   map[nearness]map[Key]bool
}

// nearness is what two models have in common that clash.
type nearness struct{ server, slug, component string }

func nearnesses(m Model) []nearness {
	server := m.Metadata.Server
	out := []nearness{{server: server, slug: Slug(m.Spec.ServedName)}}
	for _, c := range m.Spec.Components() {
		out = append(out, nearness{server: server, component: c})
	}
	return out
}

// Put adds a model with its defaults, in place of the one of its name.
func (x *ModelIndex) Put(m Model) {
	if x.models == nil {
		x.models, x.near = map[Key]Model{}, map[nearness]map[Key]bool{}
	}
	k := ModelKey(m.Metadata.Server, m.Metadata.Name)
	x.Remove(k)
	x.models[k] = m
	for _, n := range nearnesses(m) {
		if x.near[n] == nil {
			x.near[n] = map[Key]bool{}
		}
		x.near[n][k] = true
	}
}

// Remove takes a model out; one that is not there is none.
func (x *ModelIndex) Remove(k Key) {
	if old, has := x.models[k]; has {
		for _, n := range nearnesses(old) {
			delete(x.near[n], k)
		}
		delete(x.models, k)
	}
}

// Conflict is [ConflictModels] with the models of the index.
func (x *ModelIndex) Conflict(m Model) *Invalid {
	found := map[Key]bool{}
	for _, n := range nearnesses(m) {
		maps.Copy(found, x.near[n])
	}
	var others []Model
	for k := range found {
		others = append(others, x.models[k])
	}
	slices.SortFunc(others, func(a, b Model) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return ConflictModels(m, others)
}
