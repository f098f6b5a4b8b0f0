package actors_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// A revision whose status the store would not take is rejected, and the one before
// runs on.
func TestARevisionThatNoStatusHoldsIsRejected(t *testing.T) {
	key := state.ModelKey("default", "m")
	entry := func(revision uint64, text string) actors.SpecEntry {
		doc, err := state.DecodeValue(key, []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: "+text+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return actors.SpecEntry{Key: key, Revision: revision, Doc: doc}
	}
	in := actors.AcceptInput{Synced: true, MaxStatus: 64 << 10, Entries: []actors.SpecEntry{entry(1, "a")}}
	first, kept := actors.Accept(in)
	if m := first.Models[0]; m.Rejected != nil || m.Accepted != 1 {
		t.Fatalf("%+v", m.Rejected)
	}
	in.Statuses = map[state.Key]state.Status{key: {
		Key: key.String(), AcceptedRevision: 1, ObservedRevision: 1, AcceptedSpec: kept[key].Spec, Template: kept[key].Template,
	}}
	in.Entries = []actors.SpecEntry{entry(2, "a, engineArgs: {x: "+strings.Repeat("y", 40<<10)+"}")}
	second, kept := actors.Accept(in)
	m := second.Models[0]
	if m.Accepted != 1 || m.Revision != 2 || m.Template.Generation != first.Models[0].Template.Generation {
		t.Errorf("revision %d of %d runs", m.Accepted, m.Revision)
	}
	if m.Rejected == nil || m.Rejected.Reason != state.ReasonTooLarge {
		t.Errorf("rejected with %+v", m.Rejected)
	}
	if n := len(kept[key].Spec); n == 0 || n > 1000 {
		t.Errorf("a spec of %d bytes is kept", n)
	}
	in.MaxStatus = 0
	if got, _ := actors.Accept(in); got.Models[0].Accepted != 2 {
		t.Error("without a bound it is rejected as well")
	}
}

// What is wrong with a spec, and what another party says of its workers, fits into a
// status however long it is.
func TestARejectionIsShort(t *testing.T) {
	key := state.ModelKey("default", "m")
	for name, spec := range map[string]string{
		"unreadable":  `"x":[` + strings.Repeat(`1,`, 100_000) + `1]`,
		"unknown":     `"model":"x"` + strings.Repeat(`,"x":1`, 80_000),
		"a long name": `"model":"x","servedName":"` + strings.Repeat("Ω", 200_000) + `"`,
		"escapes":     `"model":"x","engine":"\u001b]52;c;\u202e"`,
	} {
		doc, err := state.DecodeValue(key, []byte(`{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{`+spec+`}}`))
		got, _ := actors.Accept(actors.AcceptInput{Synced: true, Entries: []actors.SpecEntry{{Key: key, Revision: 1, Doc: doc, Err: err}}})
		r := got.Models[0].Rejected
		if r == nil || len(r.Message) > state.MaxMessage || state.Visible(r.Message) != r.Message {
			t.Errorf("%s: %.300q", name, r)
		}
	}
}
