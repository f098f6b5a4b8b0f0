package sorted_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dynctl/state/sorted"
)

type pair struct{ key, value int }

func byKey(a, b pair) int { return cmp.Compare(a.key, b.key) }

// Whatever is put, the list is what a map of it would be, sorted, and the one that it began
// with stays as it was.
func TestPatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.IntRange(0, 9), rapid.Int()).Draw(t, "first")
		first := list(want)
		kept := slices.Clone(first)
		p := sorted.Of(first, byKey)
		for range rapid.IntRange(0, 9).Draw(t, "puts") {
			e := pair{rapid.IntRange(0, 9).Draw(t, "key"), rapid.Int().Draw(t, "value")}
			was, there := want[e.key]
			if at, found := p.Get(e); found != there || at.value != was {
				t.Fatalf("Get(%d) = %v, %v; want %d, %v", e.key, at, found, was, there)
			}
			if stays := rapid.Bool().Draw(t, "there"); stays {
				want[e.key] = e.value
				p.Put(e, true)
			} else {
				delete(want, e.key)
				p.Put(e, false)
			}
		}
		if got := p.List(); !slices.Equal(got, list(want)) {
			t.Errorf("list %v, want %v", got, list(want))
		}
		if !slices.Equal(first, kept) {
			t.Errorf("the list that it began with became %v, was %v", first, kept)
		}
	})
}

func TestAListInWhichNothingChangesStaysAtItsPlace(t *testing.T) {
	first := []pair{{1, 1}, {3, 3}}
	p := sorted.Of(first, byKey)
	p.Put(pair{key: 2}, false)
	if got := p.List(); &got[0] != &first[0] {
		t.Error("it was copied")
	}
}

func list(m map[int]int) []pair {
	out := make([]pair, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, pair{k, m[k]})
	}
	return out
}

func TestIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 3), func(k int) pair { return pair{key: k} }), 0, 5).Draw(t, "list")
		if got, want := sorted.Is(l, func(a, b *pair) int { return byKey(*a, *b) }), slices.IsSortedFunc(l, byKey); got != want {
			t.Errorf("Is(%v) = %v", l, got)
		}
	})
}
