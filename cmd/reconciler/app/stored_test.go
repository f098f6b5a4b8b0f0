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
// from round to round; and every object of which the status is another is named.
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
			overWritten(want, l.written)
			before := maps.Clone(kept.all)
			kept.follow(list)
			l.inForce = kept
			l.overlay()
			kept = l.inForce
			if !reflect.DeepEqual(want, kept.all) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, kept.all, want)
			}
			if key, missed := kept.misses(before); missed {
				t.Fatalf("seed %d, step %d: %v is another, and is not among %v", seed, step, key, kept.changed)
			}
			for key, w := range l.written {
				if s, ok := view[key]; ok && s.Status.Revision >= w.Revision {
					t.Fatalf("%s was written as %d, stands at %d, and is still waited for", key, w.Revision, s.Status.Revision)
				}
			}
		}
	}
}

// misses names an object of which the status is another than before and that is not named.
func (s *stored) misses(before map[state.Key]state.Status) (state.Key, bool) {
	for _, all := range []map[state.Key]state.Status{before, s.all} {
		for key := range all {
			was, had := before[key]
			now, has := s.all[key]
			if before != nil && !s.changed[key] && (had != has || !reflect.DeepEqual(was, now)) {
				return key, true
			}
		}
	}
	return state.Key{}, false
}

// overWritten puts what was written over what is older.
func overWritten(all map[state.Key]state.Status, written map[string]state.Status) {
	for key, w := range written {
		if object, _ := state.ParseKey(key); all[object].Revision < w.Revision {
			all[object] = w
		}
	}
}
