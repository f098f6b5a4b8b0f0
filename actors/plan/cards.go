package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"dynctl/actors"
	"dynctl/actors/place"
)

// nodeIDLabel is the label that Ray gives each node by itself.
const nodeIDLabel = "ray.io/node-id"

// chooseApart is [place.Worker], on nodes whose cards no stranger holds where that
// is possible: which card of a node a worker gets is for Ray to say.
func (r *round) chooseApart(needs actors.Needs, nodes []place.Room) (place.Shape, *place.Unfit) {
	busy := map[string]bool{}
	for _, s := range r.strangers {
		busy[s.Node] = true
	}
	if needs.GPUs == 0 || len(busy) == 0 {
		return place.Worker(needs, nodes)
	}
	calm := slices.DeleteFunc(slices.Clone(nodes), func(n place.Room) bool { return busy[n.ID] })
	shape, unfit := place.Worker(needs, calm)
	if unfit != nil {
		return place.Worker(needs, nodes)
	}
	if shape.Selector == nil {
		shape.Selector = make([]map[string]string, len(shape.Bundles))
	}
	for i, labels := range shape.Selector {
		shape.Selector[i] = maps.Clone(labels)
		if shape.Selector[i] == nil {
			shape.Selector[i] = map[string]string{}
		}
		shape.Selector[i][nodeIDLabel] = "!in(" + strings.Join(slices.Sorted(maps.Keys(busy)), ",") + ")"
	}
	return shape, nil
}

// busyCard names who holds a card that a worker which does not serve was given, with why
// the worker ended where it did; empty: nobody.
func (r *round) busyCard(m *model) string {
	if len(r.strangers) == 0 {
		return ""
	}
	for _, u := range m.units {
		if u.standing == old || u.running() || u.is(leaving) {
			continue
		}
		for _, a := range u.Actors {
			for _, s := range r.strangers {
				if s.Node != a.Node || !slices.Contains(a.GPUs, strconv.Itoa(s.Card)) {
					continue
				}
				if a.Exit != nil {
					return s.String() + "; " + exitMessage(&a)
				}
				return s.String()
			}
		}
	}
	return ""
}
