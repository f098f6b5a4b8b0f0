package plan_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dynctl/actors/accept"
	"dynctl/state"
)

// What is remembered changes no answer, also when a status changes, goes away, or
// comes back with other content.
func TestAMemoChangesNoAnswer(t *testing.T) {
	w := newCluster(node("1", 8))
	first := w.put(model("a", "  replicas: 1\n"))
	second := w.put(model("b", "  mode: disagg\n"))
	var memo accept.Memo
	same := func(what string) {
		t.Helper()
		in := accept.Input{Synced: true, Entries: w.entries(), Statuses: w.statuses}
		want, wantKept := accept.Revisions(in)
		in.Memo = &memo
		for range 2 { // what this call remembers is what the next one uses
			got, gotKept := accept.Revisions(in)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: desired differs (-without +with a memo):\n%s", what, d)
			}
			if d := cmp.Diff(wantKept, gotKept); d != "" {
				t.Errorf("%s: kept differs (-without +with a memo):\n%s", what, d)
			}
		}
	}
	same("nothing accepted yet")
	w.run(5)
	same("accepted")
	w.put(model("a", "  replicas: 2\n  engineArgs: {max-model-len: 1}\n"))
	same("a new revision")
	w.run(5)
	same("a new revision is accepted")
	broken := w.statuses[first]
	broken.Template = []byte(`{"model":`)
	w.statuses[first] = broken
	same("a template that cannot be read")
	w.run(3)
	same("it was rendered again")
	kept := w.statuses[second]
	delete(w.statuses, second)
	same("a status is gone")
	kept.AcceptedSpec = nil
	w.statuses[second] = kept
	same("a status without a spec is back")
	w.delete(state.ModelKey("default", "a"), true)
	same("a delete")
}

// Beside a fleet that rests only what has changed is looked at, be it an entry or a status.
func TestOnlyWhatChangesIsAccepted(t *testing.T) {
	const models = 12
	w := fleet(models, false)
	w.run(8)
	in := accept.Input{Synced: true, Entries: w.entries(), Statuses: w.statuses, Memo: &accept.Memo{}}
	looked := func(what string, want int, restated map[state.Key]bool) {
		t.Helper()
		in.Restated = restated
		if accept.Revisions(in); in.Memo.Looked() != want {
			t.Errorf("%s: looked at %d models, want %d", what, in.Memo.Looked(), want)
		}
	}
	nothing := map[state.Key]bool{}
	looked("at first", models, nothing)
	looked("at rest", 0, nothing)
	looked("where the statuses are not known", models, nil)
	in.Entries = slices.Clone(in.Entries)
	in.Entries[3] = new(*in.Entries[3])
	in.Entries[3].Revision++
	looked("an edit", 1, nothing)
	looked("what is not stored yet", 1, nothing)
	key := in.Entries[7].Key
	st := w.statuses[key]
	st.Conditions = slices.Clone(st.Conditions)
	w.statuses[key] = st
	looked("a status and what is not stored yet", 2, map[state.Key]bool{key: true})
	looked("the same again", 1, nothing)
	w.put(model("m9999", ""))
	in.Entries = w.entries()
	looked("one more", 2, nothing) // and the edit is taken back
	delete(w.specs, state.ModelKey("default", "m9999"))
	in.Entries = w.entries()
	looked("one is gone", models, nothing)
}

// A model of which the marker of its delete is all that is left is not looked at again, until
// a unit of it is seen: the marker stays in the bucket, and there may be thousands of them.
func TestWhatIsGoneIsNotAcceptedAgain(t *testing.T) {
	const models = 12
	w := fleet(models, false)
	w.run(8)
	late := *w.of("m0003")[0]
	w.delete(state.ModelKey("default", "m0003"), true)
	w.run(20)
	memo := &accept.Memo{}
	units := slices.DeleteFunc(slices.Collect(maps.Values(w.units)), func(u *state.Unit) bool { return u.Model == "m0003" })
	look := func(what string, want, listed int, units []*state.Unit) {
		t.Helper()
		d, _ := accept.Revisions(accept.Input{Synced: true, Entries: w.entries(), Statuses: w.statuses, Units: units, Restated: map[state.Key]bool{}, Memo: memo})
		if memo.Looked() != want || len(d.Models) != listed {
			t.Errorf("%s: looked at %d models and lists %d, want %d and %d", what, memo.Looked(), len(d.Models), want, listed)
		}
	}
	look("at first", models, models-1, units)
	look("at rest", 0, models-1, units)
	more := append(slices.Clone(units), &late)
	look("a unit of it", 1, models, more)
	look("the same unit", 1, models, more)
	look("its unit has gone", 1, models-1, units)
	look("at rest again", 0, models-1, units)
	w.put(model("m0003", "  resources: {gpus: 1}\n"))
	look("it is declared again", 1, models, units)
}
