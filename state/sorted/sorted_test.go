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
// with stays as it was, unless nobody else reads it.
func TestPatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.IntRange(0, 9), rapid.Int()).Draw(t, "first")
		first := list(want)
		kept := slices.Clone(first)
		own := rapid.Bool().Draw(t, "own")
		p := sorted.Of(first, byKey)
		if own {
			p = sorted.Own(first, byKey)
		}
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
		if !own && !slices.Equal(first, kept) {
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

// Whether a list rises is the same with what is known of another one and without.
func TestRises(t *testing.T) {
	order := func(a, b *pair) int { return byKey(*a, *b) }
	rapid.Check(t, func(t *rapid.T) {
		var known []*pair
		for key := range rapid.OneOf(rapid.IntRange(1, 24), rapid.IntRange(60, 300)).Draw(t, "known") {
			known = append(known, &pair{key: key})
		}
		l := slices.Clone(known)
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			i := rapid.IntRange(0, len(l)-1).Draw(t, "place")
			switch rapid.IntRange(0, 4).Draw(t, "change") {
			case 0:
				l[i], l[0] = l[0], l[i]
			case 1:
				l = slices.Insert(l, i, l[len(l)/2])
			case 2:
				l = append(l[:i:i], append([]*pair{{key: 999}}, l[i:]...)...)
			case 3:
				l = append(l[:i:i], append([]*pair{l[i]}, l[min(i+2, len(l)):]...)...)
			default:
				l[i] = new(*l[i])
			}
		}
		want := true
		for i := range l[1:] {
			want = want && byKey(*l[i], *l[i+1]) < 0
		}
		if got := sorted.Rises(l, known, order); got != want {
			t.Errorf("%t with what is known, want %t", got, want)
		}
		if got := sorted.Rises(l, nil, order); got != want {
			t.Errorf("%t, want %t", got, want)
		}
	})
}
