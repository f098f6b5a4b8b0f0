package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/state"
	"dynctl/state/same"
)

// fleet is a world with models of one worker each (disaggregated: of two), and
// room for all of them.
func fleet(models int, disagg bool) *cluster {
	var nodes []state.Node
	for i := range models/4 + 1 {
		nodes = append(nodes, node(fmt.Sprintf("%03d", i), 8))
	}
	w := newCluster(nodes...)
	for i := range models {
		extra := "  resources: {gpus: 1}\n"
		if disagg {
			extra += "  mode: disagg\n"
		}
		w.put(model(fmt.Sprintf("m%04d", i), extra))
	}
	return w
}

// measured is what is measured of a planner with a fleet of some size. make returns what
// is to be done over and over.
type measured struct {
	name string
	make func(tb testing.TB, models int) func()
}

// planned plans an input from nothing, and as it was planned before.
func planned(name string, in func(tb testing.TB, models int) actors.Input) []measured {
	return []measured{
		{"plan/whole/" + name, func(tb testing.TB, models int) func() {
			in := in(tb, models)
			return func() { plan.Plan(in) }
		}},
		{"plan/again/" + name, func(tb testing.TB, models int) func() {
			var memory plan.Memory
			in := in(tb, models)
			return func() { memory.Plan(in) }
		}},
	}
}

// accepted accepts what was accepted already: by a program that has just started (no
// memo), and round after round.
func accepted(name string, memo func() *accept.Memo) measured {
	return measured{"accept/" + name, func(_ testing.TB, models int) func() {
		w := acceptedFleet(models)
		in := accept.Input{Synced: true, Entries: w.entries(), Statuses: w.statuses, Restated: map[state.Key]bool{}, Memo: memo()}
		return func() { accept.Revisions(in) }
	}}
}

// acceptedBeside accepts one model that is written anew, over and over, beside a fleet
// that rests. Each is made once for all that is measured of it.
func acceptedBeside() measured {
	made := map[int]accept.Input{}
	return measured{"accept/one-more", func(_ testing.TB, models int) func() {
		in, has := made[models]
		key := state.ModelKey(state.DefaultServer, "one-more")
		if !has {
			w := acceptedFleet(models)
			w.put(model("one-more", "  resources: {gpus: 1}\n"))
			in = accept.Input{Synced: true, Entries: w.entries(), Statuses: w.statuses, Restated: map[state.Key]bool{}}
			made[models] = in
		}
		in.Memo = &accept.Memo{}
		at := slices.IndexFunc(in.Entries, func(e *accept.Entry) bool { return e.Key == key })
		now, before := slices.Clone(in.Entries), slices.Clone(in.Entries) // whoever reads makes a list anew, and not acceptance
		return func() {
			now, before = before, now
			now[at] = new(*before[at])
			now[at].Revision++
			in.Entries = now
			accept.Revisions(in)
		}
	}}
}

// plannedBeside plans a fleet that rests, of which one worker has exited and runs again, over
// and over: the list of units is another each time, as the views hand it out.
func plannedBeside() measured {
	return measured{"plan/one-exit", func(tb testing.TB, models int) func() {
		var memory plan.Memory
		w, rests := steadyFleet(tb, models, 0)
		memory.Plan(rests)
		u := w.of(fmt.Sprintf("m%04d", models/2))[0]
		w.exit(u, &u.Actors[0], 1)
		w.settleState(u)
		at := slices.IndexFunc(rests.Observed.Units, func(x *state.Unit) bool { return x.Key() == u.Key() })
		runs, exited := rests.Observed.Units[at], new(*u)
		turn := func(now *state.Unit) {
			in := rests
			in.Observed.Units = slices.Clone(rests.Observed.Units)
			in.Observed.Units[at] = now
			memory.Plan(in)
		}
		return func() { turn(exited); turn(runs) }
	}}
}

// everyMeasured is all that is measured: fleets that run as declared, of which every tenth
// worker has exited, and of which nothing runs yet.
func everyMeasured() []measured {
	return slices.Concat(
		planned("steady", func(tb testing.TB, models int) actors.Input { return steady(tb, models, 0) }),
		planned("exits", func(tb testing.TB, models int) actors.Input { return steady(tb, models, 10) }),
		planned("cold", func(_ testing.TB, models int) actors.Input { return cold(models, false) }),
		planned("cold-disagg", func(_ testing.TB, models int) actors.Input { return cold(models, true) }),
		[]measured{accepted("first", func() *accept.Memo { return nil }), accepted("again", func() *accept.Memo { return &accept.Memo{} }), acceptedBeside(), plannedBeside()},
	)
}

// everyMeasuredOnce is that with what was made for it, over all counts of a benchmark.
var everyMeasuredOnce = sync.OnceValue(everyMeasured)

func BenchmarkPlanner(b *testing.B) {
	for _, models := range []int{10, 100, 1000, 10000} {
		for _, m := range everyMeasuredOnce() {
			if models > 1000 && !strings.HasPrefix(m.name, "accept/") {
				continue // to have so many run takes minutes
			}
			b.Run(fmt.Sprintf("%s/models=%d", m.name, models), func(b *testing.B) {
				do := m.make(b, models)
				do() // what is remembered is
				b.ReportAllocs()
				for b.Loop() {
					do()
				}
			})
		}
	}
}

// acceptedFleet is a fleet that was accepted, and of which nothing runs yet.
func acceptedFleet(models int) *cluster {
	w := fleet(models, false)
	for range 2 {
		in, kept := w.input()
		w.store(plan.Plan(in), kept)
	}
	return w
}

// entries are those of all specs, in the order of their keys. What has not changed since they
// were last asked for is at its place.
func (w *cluster) entries() (all []*accept.Entry) {
	was := w.handedOut
	w.handedOut = map[state.Key]*accept.Entry{}
	for _, key := range slices.SortedFunc(maps.Keys(w.specs), state.Key.Compare) {
		e := new(w.specs[key])
		if before := was[key]; before != nil && same.Bits(before, e) {
			e = before
		}
		w.handedOut[key] = e
		all = append(all, e)
	}
	return all
}

// cold is a fleet of which nothing runs.
func cold(models int, disagg bool) actors.Input {
	w := fleet(models, disagg)
	in, _ := w.input()
	return in
}

// steady is a fleet that runs, of which every so many workers have exited.
func steady(b testing.TB, models, exits int) actors.Input {
	b.Helper()
	_, in := steadyFleet(b, models, exits)
	return in
}

func steadyFleet(b testing.TB, models, exits int) (*cluster, actors.Input) {
	b.Helper()
	w := fleet(models, false)
	w.run(8)
	for i := range models {
		name := fmt.Sprintf("m%04d", i)
		if c := w.condition(state.ModelKey(state.DefaultServer, name), state.CondReady); c.Status != state.StatusTrue {
			b.Fatalf("%s is not ready: %+v", name, c)
		}
		if exits > 0 && i%exits == 0 {
			u := w.of(name)[0]
			w.exit(u, &u.Actors[0], 1)
			w.settleState(u)
		}
	}
	in, _ := w.input()
	return w, in
}
