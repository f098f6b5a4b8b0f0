package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
)

// Specs of one flood may not crowd out the others: large ones have a part of their own,
// what was accepted stays, and what cannot be read takes nothing.
func TestBytesPastTheBoundAreRefused(t *testing.T) {
	limits := kv.Limits{CurrentBytes: 1 << 20, Servers: 2}.WithDefaults()
	spec := func(server, name string, revision uint64, size int) *kv.SpecEntry {
		return &kv.SpecEntry{Key: state.ModelKey(server, name).String(), Revision: revision, Size: size}
	}
	known := map[state.Key]state.Status{state.ModelKey("a", "runs"): {AcceptedRevision: 1}}
	for _, c := range []struct {
		name    string
		entries []*kv.SpecEntry
		bad     map[string]bool
		refused map[string]string // reason by key
	}{
		{"large ones share a quarter", []*kv.SpecEntry{spec("a", "l1", 2, 200<<10), spec("a", "l2", 3, 200<<10), spec("a", "small", 4, 1000)}, nil,
			map[string]string{"model.a.l2": state.ReasonTooManyBytes}},
		{"a bad one takes nothing", []*kv.SpecEntry{spec("a", "l1", 2, 200<<10), spec("a", "l2", 3, 200<<10)}, map[string]bool{"model.a.l1": true}, nil},
		{"a new revision of what runs leaves it running", []*kv.SpecEntry{spec("a", "l1", 2, 200<<10), spec("a", "runs", 3, 200<<10)}, nil,
			map[string]string{"model.a.runs": state.ReasonTooManyBytes}},
		{"a third server", []*kv.SpecEntry{spec("a", "runs", 1, 10), spec("b", "m", 2, 10), spec("c", "m", 3, 10), spec("a", "m", 4, 10)}, nil,
			map[string]string{"model.c.m": state.ReasonTooManyObjects}},
	} {
		t.Run(c.name, func(t *testing.T) {
			within, refused := withinQuota(c.entries, limits, counted{known, &stands{}, func(e *kv.SpecEntry) bool { return c.bad[e.Key] }})
			if len(within) != len(c.entries) {
				t.Errorf("%d of %d are told of", len(within), len(c.entries))
			}
			for _, e := range c.entries {
				if got := state.ReasonOf(refused[e.Key]); got != c.refused[e.Key] {
					t.Errorf("%s: %q, want %q", e.Key, got, c.refused[e.Key])
				}
			}
		})
	}
}

// A round reads what there is time for. What is known is never left out: its accepted
// revision stands in for one that is not read yet.
func TestAFloodIsReadInParts(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	document := func(name string) []byte {
		return fmt.Appendf(nil, "{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: %s}, spec: {model: a/%[1]s}}", name)
	}
	var entries []*kv.SpecEntry
	add := func(name string, value []byte) {
		entries = append(entries, &kv.SpecEntry{Key: state.ModelKey("default", name).String(), Revision: uint64(len(entries) + 10), Value: value, Size: len(document(name))})
	}
	for i := range readFresh + 50 {
		add(fmt.Sprint("m", i), document(fmt.Sprint("m", i)))
	}
	add("accepted", nil) // not needed: the status has it
	add("changed", nil)  // let go: the status stands in
	add("owned", nil)    // it has units, and nothing can stand in
	statuses := map[state.Key]state.Status{}
	for name, revision := range map[string]uint64{"accepted": entries[readFresh+50].Revision, "changed": 5} {
		statuses[state.ModelKey("default", name)] = state.Status{AcceptedRevision: revision, AcceptedIn: created, AcceptedSpec: []byte("{}"), Template: []byte("{}")}
	}
	l := newLoop(&App{})
	read := func(owners map[state.Key]bool, deadline time.Time) (map[string]*accept.Entry, *reading, bool) {
		r := reading{loop: l, created: created, statuses: statuses, owners: owners, deadline: deadline}
		out, complete := r.choose(entries, nil)
		byName := map[string]*accept.Entry{}
		for _, e := range out {
			byName[e.Key.Name] = e
		}
		return byName, &r, complete
	}
	later := time.Now().Add(time.Hour)
	got, r, complete := read(nil, later)
	if len(got) != readFresh+2 || !complete {
		t.Fatalf("%d entries, complete %t", len(got), complete)
	}
	if _, ok := got["m0"]; ok {
		t.Error("the oldest of the flood was read first")
	}
	if e := got["changed"]; e.Revision != 5 || e.Err != nil {
		t.Errorf("changed: %+v", e)
	}
	if e := got["accepted"]; e.Revision != entries[readFresh+50].Revision || string(e.Doc.Raw) != "{}" {
		t.Errorf("accepted: %+v", e)
	}
	if len(r.load) != 2 { // changed and owned
		t.Errorf("asks for %v", r.load)
	}
	if got, _, _ = read(nil, later); len(got) != readFresh+52 {
		t.Errorf("the second round has %d entries", len(got))
	}
	if _, _, complete = read(map[state.Key]bool{state.ModelKey("default", "owned"): true}, later); complete {
		t.Error("what runs was left out, and nothing says so")
	}
	clear(l.decoded)
	if got, _, _ = read(nil, time.Time{}); len(got) != 2 {
		t.Errorf("%d entries were read after the deadline", len(got))
	}
}

// What is too large to be a spec is rejected by its size: fetched, a few of the largest
// values would be more than all that the reconciler needs.
func TestWhatIsTooLargeIsNotFetched(t *testing.T) {
	var entries []*kv.SpecEntry
	for i := range 60 {
		entries = append(entries, &kv.SpecEntry{Key: state.ModelKey("default", fmt.Sprint("m", i)).String(), Revision: uint64(i + 10), Size: 8 << 20})
	}
	entries = append(entries, &kv.SpecEntry{Key: "model.default.fits", Revision: 9, Size: state.MaxValueSize})
	r := reading{loop: newLoop(&App{}), statuses: map[state.Key]state.Status{}, deadline: time.Now().Add(time.Hour)}
	out, _ := r.choose(entries, nil)
	if len(r.load) != 1 || r.load[0].Key != "model.default.fits" {
		t.Errorf("%d values are fetched: %v; want the one that may be read", len(r.load), r.load)
	}
	if len(out) != 60 {
		t.Errorf("%d are told of, want 60", len(out))
	}
	for _, e := range out {
		if state.ReasonOf(e.Err) != state.ReasonTooLarge || !strings.Contains(e.Err.Error(), state.CheckValueSize(8<<20).Error()) {
			t.Fatalf("%s: %v, want %v", e.Key, e.Err, state.CheckValueSize(8<<20))
		}
	}
}
