package plan_test

import (
	"flag"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynctl/state"
)

// A run of the tests can be made again: it draws the same each time, and make walks draws
// something new. A hundred walks are made, and fewer under the race detector.
func init() {
	settings := map[string]string{"rapid.seed": "1"}
	if raceDetector {
		settings["rapid.checks"] = "20"
	}
	for name, value := range settings {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

func drawer(t *rapid.T) picker {
	return func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
}

// TestRandomWalkConverges is the short walk, whose failures rapid makes small.
// TestDeepWalk is the long one.
func TestRandomWalkConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := startWalk()
		pick := drawer(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step(pick, anything)
			for range rapid.IntRange(0, 4).Draw(t, "rounds") {
				w.live(t, true)
			}
		}
		w.quiesce(t)
		w.converged(t)
	})
}

// TestEditsNeverInterrupt: while nothing but specs changes, and every spec can
// start and there is room to surge, a model that was available stays so.
func TestEditsNeverInterrupt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := startWalk()
		w.nodes = []state.Node{node("1", 64), node("2", 64), node("3", 64)}
		pick := drawer(t)
		for _, n := range w.names {
			w.editModel(n, pick)
		}
		w.run(12)
		for range rapid.IntRange(1, 20).Draw(t, "edits") {
			w.editModel(w.names[pick("model", len(w.names))], pick)
			for range rapid.IntRange(0, 8).Draw(t, "rounds") {
				w.live(t, false)
				w.round()
				for _, n := range w.names {
					key := state.ModelKey("default", n)
					if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
						t.Fatalf("%s is not available: %+v\n%s", n, w.statuses[key].Conditions, strings.Join(w.journal, "\n"))
					}
				}
			}
		}
		w.quiesce(t)
		w.converged(t)
	})
}
