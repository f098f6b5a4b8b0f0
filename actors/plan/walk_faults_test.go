package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// What goes wrong in a walk.

// hit does something to one actor of a model's units.
func (w *walk) hit(name string, pick picker, do func(*state.Unit, *state.Actor)) {
	units := w.of(name)
	if len(units) == 0 {
		return
	}
	u := units[pick("unit", len(units))]
	if u.State == state.UnitStopping || len(u.Actors) == 0 {
		return
	}
	do(u, &u.Actors[pick("actor", len(u.Actors))])
}

func (w *walk) killActor(u *state.Unit, a *state.Actor) {
	if a.State == state.ActorDead {
		return
	}
	w.exit(u, a, -9)
	a.State = state.ActorDead
	w.settleState(u)
}

func (w *walk) killInfra(_ string, pick picker) {
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	if u == nil || u.State == state.UnitStopping || len(u.Actors) == 0 {
		return
	}
	if a := &u.Actors[pick("actor", len(u.Actors))]; a.ChildPID != 0 {
		w.exit(u, a, -9)
	}
}

// emptyEtcd ends etcd and its data: what had registered is there no more.
func (w *walk) emptyEtcd(_ string, _ picker) {
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	if u == nil || u.State == state.UnitStopping {
		return
	}
	for i := range u.Actors {
		if a := &u.Actors[i]; strings.HasSuffix(a.Name, actors.LabelEtcd) && a.ChildPID != 0 {
			w.exit(u, a, -9)
			w.lost["default"] = append(w.lost["default"], slices.Sorted(maps.Keys(w.instances["default"]))...)
			clear(w.instances["default"])
			clear(w.gates)
		}
	}
}

// recreateBucket empties the bucket of observed values; the next agent fills it again.
func (w *walk) recreateBucket(_ string, pick picker) {
	w.restartAgent()
	clear(w.gone)
	for _, k := range sortedKeys(w.units) {
		w.units[k].Revision = w.next()
	}
	w.blindFor(1 + pick("rounds", 4))
}

// blindFor keeps what the agent says incomplete for some rounds.
func (w *walk) blindFor(rounds int) { w.unsynced, w.blindUntil = rounds > 0, w.rounds+rounds }

func (w *walk) nodesBack() {
	for i := range w.nodes {
		w.nodes[i].Alive = true
	}
}

// loseNode takes a node away. A group that stood there alone goes with it; one that
// has other nodes too looks for another.
func (w *walk) loseNode(i int) {
	w.nodes[i].Alive = false
	for _, k := range sortedKeys(w.units) {
		u := w.units[k]
		on := func(a state.Actor) bool { return a.Node == w.nodes[i].ID }
		if u.State == state.UnitStopping || !slices.ContainsFunc(u.Actors, on) {
			continue
		}
		if !slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return !on(a) }) {
			w.losePlacement(u)
			continue
		}
		for j := range u.Actors {
			if a := &u.Actors[j]; on(*a) {
				w.killActor(u, a)
				a.Node = ""
			}
		}
		u.PlacementGroup.State = "RESCHEDULING"
	}
}

// reject writes a revision that is not valid.
func (w *walk) reject(name string, _ picker) {
	key := state.ModelKey("default", name)
	if e, ok := w.specs[key]; ok && !e.Deleted {
		e.Revision, e.Err = w.next(), fmt.Errorf("bad revision")
		w.specs[key], w.changed = e, true
	}
}
