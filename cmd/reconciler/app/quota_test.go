package app

import (
	"fmt"
	"slices"
	"testing"

	"dynctl/state"
	"dynctl/state/kv"
)

// Past the bound the accepted objects stay, then the oldest; what is refused is
// told, up to a bound of its own.
func TestObjectsPastTheBoundAreRefused(t *testing.T) {
	var entries []*kv.SpecEntry
	known := map[state.Key]state.Status{}
	for i := range 3000 {
		key := state.ModelKey("default", fmt.Sprintf("m%04d", i))
		entries = append(entries, &kv.SpecEntry{Key: key.String(), Revision: uint64(5000 - i)})
		if i < 5 { // the newest by revision
			known[key] = state.Status{AcceptedRevision: 1}
		}
		if i == 100 { // a refusal is no acceptance
			known[key] = state.Status{ObservedRevision: 1}
		}
	}
	entries = append(entries, &kv.SpecEntry{Key: "model.default.gone", Deleted: true}, &kv.SpecEntry{Key: "nonsense"})
	within, refused := withinQuota(entries, kv.Limits{Objects: 10}.WithDefaults(), counted{known, &stands{}, readable})
	has := func(i int) bool {
		return slices.ContainsFunc(within, func(e *kv.SpecEntry) bool { return e.Key == entries[i].Key })
	}
	for _, i := range []int{0, 4, 2999, 2995, 3000, 3001} {
		if !has(i) || refused[entries[i].Key] != nil {
			t.Errorf("%s is out: %v", entries[i].Key, refused[entries[i].Key])
		}
	}
	if e := entries[2994].Key; !has(2994) || state.ReasonOf(refused[e]) != state.ReasonTooManyObjects {
		t.Errorf("%s: %v", e, refused[e])
	}
	if has(100) || len(refused) != toldOverQuota || len(within) != 10+toldOverQuota+2 {
		t.Errorf("%d within, %d refused", len(within), len(refused))
	}
	if within, refused := withinQuota(entries[:10], kv.Limits{Objects: 10}.WithDefaults(), counted{known, &stands{}, readable}); len(within) != 10 || refused != nil {
		t.Errorf("at the bound: %d, %v", len(within), refused)
	}
}

func readable(*kv.SpecEntry) bool { return false }
