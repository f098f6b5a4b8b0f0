package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/state"
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

// BenchmarkPlan measures one plan of a fleet: when all runs as declared, when
// nothing runs yet, and when every tenth worker has exited.
func BenchmarkPlan(b *testing.B) {
	for _, models := range []int{10, 100, 1000} {
		for _, c := range []struct {
			name string
			in   func() actors.Input
		}{
			{"steady", func() actors.Input { return steady(b, models, 0) }},
			{"exits", func() actors.Input { return steady(b, models, 10) }},
			{"cold", func() actors.Input { return cold(models, false) }},
			{"cold-disagg", func() actors.Input { return cold(models, true) }},
		} {
			b.Run(fmt.Sprintf("%s/models=%d", c.name, models), func(b *testing.B) {
				in := c.in()
				b.ReportAllocs()
				for b.Loop() {
					plan.Plan(in)
				}
			})
		}
	}
}

// BenchmarkAccept measures the acceptance of what was accepted already: by a
// program that has just started, and round after round.
func BenchmarkAccept(b *testing.B) {
	for _, models := range []int{10, 100, 1000} {
		for name, memo := range map[string]*accept.Memo{"first": nil, "again": {}} {
			b.Run(fmt.Sprintf("%s/models=%d", name, models), func(b *testing.B) {
				w := fleet(models, false)
				w.run(1)
				in := accept.Input{Synced: true, Entries: slices.Collect(maps.Values(w.specs)), Statuses: w.statuses, Memo: memo}
				accept.Revisions(in)
				b.ReportAllocs()
				for b.Loop() {
					accept.Revisions(in)
				}
			})
		}
	}
}

// cold is a fleet of which nothing runs.
func cold(models int, disagg bool) actors.Input {
	w := fleet(models, disagg)
	in, _ := w.input()
	return in
}

// steady is a fleet that runs, of which every so many workers have exited.
func steady(b *testing.B, models, exits int) actors.Input {
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
	return in
}
