package plan_test

import (
	"slices"
	"testing"

	"dynctl/actors"
)

// What others wait for says so, as often as others wait, and never more often.
func TestWhatIsDoneAheadOfAStart(t *testing.T) {
	const changed = "  engineArgs: {block_size: 32}\n"
	for _, tc := range []struct {
		name, before, after string
		gpus                int
		starts, stops       int // that say that others wait for them
	}{
		{name: "one after the other", before: "  replicas: 3\n", after: "  replicas: 3\n" + changed, gpus: 8, starts: 2},
		{name: "two at a time", before: "  replicas: 3\n", after: "  replicas: 3\n  update: {maxSurge: 2}\n" + changed, gpus: 8, starts: 1},
		{name: "all at once", before: "  replicas: 3\n", after: "  replicas: 3\n  update: {maxSurge: 3}\n" + changed, gpus: 8},
		{name: "one replica", before: "", after: changed, gpus: 8},
		{name: "in the place of the old ones", before: "  replicas: 2\n", after: "  replicas: 2\n" + changed, gpus: 2, stops: 2},
		{name: "a first start", before: "", after: "  replicas: 4\n", gpus: 8},
		{name: "a first start without room for all", before: "", after: "  replicas: 4\n", gpus: 2},
		{name: "of each role", before: "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 2}\n",
			after: "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 2}\n" + changed, gpus: 16, starts: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			w.put(model("a", tc.before))
			w.run(8)
			w.put(model("a", tc.after))
			var starts, stops int
			for range 60 {
				r := w.round()
				starts += count(r.Starts, func(s actors.Start) bool { return s.Ahead })
				stops += count(r.Stops, func(e actors.End) bool { return e.Ahead })
				w.tick()
			}
			if starts != tc.starts || stops != tc.stops {
				t.Errorf("%d starts and %d stops are waited for, want %d and %d", starts, stops, tc.starts, tc.stops)
			}
		})
	}
}

func count[T any](all []T, is func(T) bool) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !is(x) }))
}
