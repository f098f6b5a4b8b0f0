package same

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type inner struct {
	Names []string
	At    time.Time
}

type value struct {
	Text  string
	Flag  bool
	Count uint64
	By    map[string]int
	To    *inner
	In    inner
	Any   any
}

func sample() value {
	return value{Text: string([]byte("text")), Count: 7, By: map[string]int{"a": 1}, To: &inner{}, In: inner{Names: []string{"x", "y"}, At: time.Unix(3, 4)}}
}

// A copy is the same; a change of any field is seen.
func TestBitsSeesEveryField(t *testing.T) {
	v := sample()
	kept := []value{v}
	if w := kept[0]; !Bits(&v, &w) {
		t.Error("a copy is not the same")
	}
	changes := map[string]func(*value){
		"a string":         func(v *value) { v.Text = "other" },
		"a flag":           func(v *value) { v.Flag = true },
		"a number":         func(v *value) { v.Count++ },
		"another map":      func(v *value) { v.By = maps.Clone(v.By) },
		"another pointer":  func(v *value) { v.To = &inner{} },
		"no pointer":       func(v *value) { v.To = nil },
		"another list":     func(v *value) { v.In.Names = slices.Clone(v.In.Names) },
		"a shorter list":   func(v *value) { v.In.Names = v.In.Names[:1] },
		"a time":           func(v *value) { v.In.At = v.In.At.Add(1) },
		"an interface":     func(v *value) { v.Any = 1 },
		"an equal string":  func(v *value) { v.Text = string([]byte(v.Text)) },
		"a nil for a list": func(v *value) { v.In.Names = nil },
	}
	for name, change := range changes {
		w := kept[0]
		if change(&w); Bits(&v, &w) {
			t.Errorf("%s is taken for the same", name)
		}
	}
}

func TestSlice(t *testing.T) {
	a := []value{sample(), sample()}
	b := slices.Clone(a)
	if !Slice(a, b) || !Slice(a, a) || !Slice[value](nil, []value{}) {
		t.Error("copies are not the same")
	}
	if b[1].Count++; Slice(a, b) || Slice(a, a[:1]) {
		t.Error("a change is not seen")
	}
}

type numbered struct {
	n    int
	text string
}

// Diff names what was taken out, put in and changed, and nothing else, whatever it was.
func TestDiff(t *testing.T) {
	order := func(a, b *numbered) int { return a.n - b.n }
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		var was, now []numbered
		want := map[int][2]string{}
		many, change := 12, 4
		if round%10 == 0 { // long lists of which nearly all is the same
			many, change = random.IntN(5*atOnce), 2*atOnce
		}
		for n := range many {
			old, text := fmt.Sprint("old", n), fmt.Sprint("new", n)
			switch random.IntN(change) {
			case 0:
				was, want[n] = append(was, numbered{n, old}), [2]string{old, ""}
			case 1:
				now, want[n] = append(now, numbered{n, text}), [2]string{"", text}
			case 2:
				was, now, want[n] = append(was, numbered{n, old}), append(now, numbered{n, text}), [2]string{old, text}
			default:
				both := numbered{n, old}
				was, now = append(was, both), append(now, both)
			}
		}
		got := map[int][2]string{}
		Diff(was, now, order, func(a, b *numbered) {
			var texts [2]string
			n := 0
			if a != nil {
				n, texts[0] = a.n, a.text
			}
			if b != nil {
				n, texts[1] = b.n, b.text
			}
			if _, twice := got[n]; twice {
				t.Errorf("%d is named twice", n)
			}
			got[n] = texts
		})
		if !maps.Equal(want, got) {
			t.Fatalf("was %v, now %v: got %v, want %v", was, now, got, want)
		}
	}
}

// Of what is pointed to the place alone counts.
func TestDiffPointers(t *testing.T) {
	order := func(a, b *numbered) int { return a.n - b.n }
	gone, stays, before, now, come := &numbered{1, "a"}, &numbered{2, "b"}, &numbered{3, "c"}, &numbered{3, "c"}, &numbered{4, "d"}
	var got [][2]*numbered
	DiffPointers([]*numbered{gone, stays, before}, []*numbered{stays, now, come}, order, func(was, now *numbered) {
		got = append(got, [2]*numbered{was, now})
	})
	if want := [][2]*numbered{{gone, nil}, {before, now}, {nil, come}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
