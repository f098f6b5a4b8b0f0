package logs

import (
	"slices"
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/internal/agentlogs"
	"dynctl/state"
)

// Selection says whose logs are meant.
type Selection struct {
	Name  string // as a person named it
	Match func(state.Unit) bool
	Actor string // only this one, by its name or a part of it; empty: all
	// Key is the object; zero where a unit was named.
	Key state.Key
}

// Actors are the names that the selected processes of units may be asked for by: DP0, decode_1, Frontend; sorted.
func (sel Selection) Actors(units []*state.Unit) []string {
	targets, err := sel.targets(units)
	if err != nil {
		return nil
	}
	var names []string
	for _, t := range targets {
		names = append(names, agentlogs.ShortName(t.unit, t.actor))
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// target is one process whose log is read.
type target struct {
	unit  state.Unit
	actor state.Actor
	// name is what a person calls it among the others: DP0, decode_1, Frontend.
	name string
}

// targets are the processes that are selected now, by unit and bundle.
func (sel Selection) targets(units []*state.Unit) ([]target, error) {
	var found []target
	var others []string
	generations := map[string]bool{}
	for _, u := range units {
		if !sel.Match(*u) {
			continue
		}
		for _, actor := range u.Actors {
			t := target{unit: *u, actor: actor, name: agentlogs.ShortName(*u, actor)}
			if sel.Actor != "" && !t.called(sel.Actor) {
				others = append(others, t.name)
				continue
			}
			generations[u.Generation] = true
			found = append(found, t)
		}
	}
	if len(found) == 0 && len(others) > 0 {
		return nil, exit.NotFoundf("%s has no actor %q: there is %s", sel.Name, sel.Actor, strings.Join(others, ", "))
	}
	if len(generations) > 1 {
		for i := range found {
			found[i].name = found[i].unit.Generation + "/" + found[i].name
		}
	}
	return found, nil
}

// label is the actor's name without server and generation: what its log is called.
func (t target) label() string {
	return agentlogs.Label(t.unit, t.actor)
}

// called reports whether a name stands for the actor, wholly or by one of its parts.
func (t target) called(name string) bool {
	if name == t.actor.Name || strings.EqualFold(name, t.name) {
		return true
	}
	return strings.Contains("_"+strings.ToLower(t.label())+"_", "_"+strings.ToLower(name)+"_")
}
