package same

import (
	"maps"
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
