package plan_test

import (
	"slices"
	"testing"

	"dynctl/state"
)

// The last worker that a generation has of a role is told to leave its traffic to
// the generation that serves beside it; nobody else is.
func TestTheLastOfAGenerationRetires(t *testing.T) {
	const other = "  engineArgs: {block_size: 32}\n"
	for name, tc := range map[string]struct {
		before, after string
		gpus          int
		want          []bool // by stop, in turn
	}{
		"a roll":                       {before: "", after: other, gpus: 8, want: []bool{true}},
		"a roll of two":                {before: "  replicas: 2\n", after: "  replicas: 2\n" + other, gpus: 8, want: []bool{false, true}},
		"one by one, for want of room": {before: "  replicas: 2\n", after: "  replicas: 2\n" + other, gpus: 2, want: []bool{false, true}},
		"nobody else serves":           {before: "", after: other, gpus: 1, want: []bool{false}},
		"a scale-down":                 {before: "  replicas: 2\n", after: "  replicas: 1\n", gpus: 8, want: []bool{false}},
		"suspended":                    {before: "  replicas: 2\n", after: "  replicas: 2\n  suspend: true\n", gpus: 8, want: []bool{false, false}},
		"a prefill; no request goes to its decode alone": {before: "  mode: disagg\n", after: "  mode: disagg\n" + other, gpus: 8, want: []bool{true, false}},
		"aggregated becomes disaggregated":               {before: "  replicas: 2\n", after: "  mode: disagg\n", gpus: 8, want: []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			key := w.put(model("a", tc.before))
			w.run(8)
			ready(t, w, key)
			w.put(model("a", tc.after))
			var got []bool
			stopped := map[state.UnitKey]bool{}
			for range 60 {
				for _, s := range w.round().Stops {
					if !stopped[s.Key] {
						got = append(got, s.Retires)
					}
					stopped[s.Key] = true
				}
				w.tick()
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("retires: %v, want %v", got, tc.want)
			}
		})
	}
}

// A worker that was killed while no agent was there to tell is registered for up to
// 10 s more. Alone it would be chosen: the last one that lives stays until then.
func TestNobodyLeavesAGenerationToTheDead(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	old := "curator-" + w.statuses[key].Generation
	w.put(model("a", "  engineArgs: {block_size: 32}\n"))
	const dead = 99
	for n := range 20 {
		if n < 10 { // etcd has not heard of the revocation
			w.instances["default"][dead] = state.Instance{Namespace: old, Component: "a", Endpoint: "generate", Lease: dead, Card: true}
		}
		_, there := w.instances["default"][dead]
		if r := w.round(); there && len(r.Stops) > 0 {
			t.Fatalf("round %d stops the last that lives: %+v", n, r.Stops)
		}
		w.tick()
	}
	ready(t, w, key)
	if n := len(w.of("a")); n != 1 {
		t.Errorf("%d units are left, want 1", n)
	}
}
