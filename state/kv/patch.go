package kv

import (
	"maps"
	"strings"

	"dynctl/state"
	"dynctl/state/sorted"
)

// What the views show is made anew where one key has changed by a copy of the list with
// that one in its place: the others stay at their places in memory, so that whoever
// compares finds them the same at a glance. Where more than that has changed, or anything
// that concerns others than itself, the views are made from all items; both ways show the
// same, which the tests compare.

// patchSpecs puts the items that have changed into a snapshot. It reports false where the
// whole has to be looked at.
func patchSpecs(view *SpecSnapshot, items map[string]item[struct{}]) bool {
	for key := range items {
		if internalKey(key) {
			return false
		}
	}
	p := sorted.Of(view.Entries, compareSpecs)
	for _, it := range items {
		e, ok := shownSpec(it)
		p.Put(e, ok && it.err == nil)
	}
	view.Entries = p.List()
	return true
}

func patchStatuses(list []Stored, items map[string]item[state.Status]) []Stored {
	p := sorted.Of(list, compareStored)
	for key, it := range items {
		s, ok := storedStatus(it)
		s.Key = key
		p.Put(s, ok)
	}
	return p.List()
}

// patchObserved is the same for what is observed. Another agent in charge, what cannot be
// read and a unit that comes back concern more than themselves.
func patchObserved(view *state.Observed, items map[string]item[observation]) bool {
	if view.Agent == nil || len(view.Unreadable) > 0 {
		return false
	}
	p := observedPatch{Observed: *view, inCharge: view.Agent.Incarnation,
		units: sorted.Of(view.Units, (*state.Unit).Compare), nodes: sorted.Of(view.Nodes, compareNodes)}
	for key, it := range items {
		if it.err != nil || !p.put(key, it) {
			return false
		}
	}
	p.Units, p.Nodes = p.units.List(), p.nodes.List()
	*view = p.Observed
	return true
}

// observedPatch is a view on its way to the next one.
type observedPatch struct {
	state.Observed
	inCharge uint64
	units    sorted.Patch[*state.Unit]
	nodes    sorted.Patch[state.Node]
	ownGone  bool // Gone is a copy
}

// put puts one item in its place, and reports whether it concerns itself alone.
func (p *observedPatch) put(key string, it item[observation]) bool {
	unit, isUnit := parseUnitKey(key)
	switch u, n := it.val.unit, it.val.node; {
	case key == keyAgent:
		if it.deleted || it.val.agent == nil || it.val.agent.Incarnation != p.inCharge {
			return false
		}
		p.Agent = new(*it.val.agent)
	case isUnit && it.deleted:
		p.gone(unit, it.entry)
	case isUnit:
		if _, wasGone := p.Gone[unit]; wasGone || u == nil {
			return false
		}
		p.units.Put(u, u.Incarnation == p.inCharge)
	case it.deleted:
		p.nodes.Put(state.Node{ID: strings.TrimPrefix(key, nodePrefix)}, false)
	case n != nil:
		p.nodes.Put(n.Node, n.Incarnation == 0 || n.Incarnation == p.inCharge)
	}
	return true
}

func (p *observedPatch) gone(unit state.UnitKey, marker entry) {
	if !p.ownGone {
		if p.Gone, p.ownGone = maps.Clone(p.Gone), true; p.Gone == nil {
			p.Gone = map[state.UnitKey]uint64{}
		}
	}
	p.Gone[unit] = marker.rev
	p.LastGone = latest(p.LastGone, marker.at)
	p.units.Put(&state.Unit{Server: unit.Server, Unit: unit.Unit}, false)
}

func compareNodes(a, b state.Node) int { return strings.Compare(a.ID, b.ID) }
