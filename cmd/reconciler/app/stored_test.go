package app

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dynctl/state"
	"dynctl/state/kv"
)

// What is stored is the view with what was written since, whatever has changed of either
// from round to round.
func TestWhatIsStoredFollowsTheView(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 3))
		var kept stored
		l := &loop{memory: memory{written: map[string]state.Status{}, rewrite: map[string]bool{}}}
		view := map[string]kv.Stored{}
		for step := range 120 {
			for range random.IntN(4) {
				key := fmt.Sprintf("model.a.m%02d", random.IntN(12))
				switch random.IntN(4) {
				case 0:
					delete(view, key)
				case 1: // written, and not seen yet
					l.written[key] = state.Status{Key: key, Revision: uint64(step + 1)}
				default:
					object, _ := state.ParseKey(key)
					s := state.Status{Key: key, Revision: uint64(step - random.IntN(3) + 2)}
					view[key] = kv.Stored{Key: key, Object: object, Status: &s}
				}
			}
			list := slices.SortedFunc(maps.Values(view), func(a, b kv.Stored) int { return strings.Compare(a.Key, b.Key) })
			list = append([]kv.Stored{{Key: "garbage", Status: &state.Status{}}}, list...)
			want := map[state.Key]state.Status{}
			for key, s := range view {
				if w, ok := l.written[key]; !ok || w.Revision <= s.Status.Revision {
					want[s.Object] = *s.Status
				}
			}
			for key, w := range l.written {
				if object, _ := state.ParseKey(key); want[object].Revision < w.Revision {
					want[object] = w
				}
			}
			kept.follow(list)
			l.inForce = kept
			l.overlay()
			kept = l.inForce
			if !reflect.DeepEqual(want, kept.all) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, kept.all, want)
			}
			for key, w := range l.written {
				if s, ok := view[key]; ok && s.Status.Revision >= w.Revision {
					t.Fatalf("%s was written as %d, stands at %d, and is still waited for", key, w.Revision, s.Status.Revision)
				}
			}
		}
	}
}
