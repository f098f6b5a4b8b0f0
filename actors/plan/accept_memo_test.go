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
		in := accept.Input{Synced: true, Entries: slices.Collect(maps.Values(w.specs)), Statuses: w.statuses}
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
