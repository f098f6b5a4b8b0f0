package accept_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
)

// A revision whose status the store would not take is rejected, and the one before
// runs on.
func TestARevisionThatNoStatusHoldsIsRejected(t *testing.T) {
	key := state.ModelKey("default", "m")
	entry := func(revision uint64, text string) *accept.Entry {
		doc, err := state.DecodeValue(key, []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: "+text+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return &accept.Entry{Key: key, Revision: revision, Doc: doc}
	}
	in := accept.Input{Synced: true, MaxStatus: 64 << 10, Entries: []*accept.Entry{entry(1, "a")}}
	first, kept := accept.Revisions(in)
	if m := first.Models[0]; m.Rejected != nil || m.Accepted != 1 {
		t.Fatalf("%+v", m.Rejected)
	}
	in.Statuses = map[state.Key]state.Status{key: {
		Key: key.String(), AcceptedRevision: 1, ObservedRevision: 1, AcceptedSpec: kept[key].Spec, Template: kept[key].Template,
	}}
	in.Entries = []*accept.Entry{entry(2, "a, engineArgs: {x: "+strings.Repeat("y", 40<<10)+"}")}
	second, kept := accept.Revisions(in)
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
	if got, _ := accept.Revisions(in); got.Models[0].Accepted != 2 {
		t.Error("without a bound it is rejected as well")
	}
}

// stored takes specs round by round, with a status of what was accepted.
type stored struct {
	t  *testing.T
	in accept.Input
}

func (s *stored) entry(key state.Key, revision uint64, text string) *accept.Entry {
	s.t.Helper()
	doc, err := state.DecodeValue(key, []byte("apiVersion: dynctl/v1alpha1\nkind: "+key.Kind+"\nmetadata: {name: "+text+"}\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	return &accept.Entry{Key: key, Revision: revision, Doc: doc}
}

func (s *stored) model(name string, revision uint64, env string) *accept.Entry {
	s.t.Helper()
	return s.entry(state.ModelKey("default", name), revision, name+"}\nspec: {model: a/"+name+", env: {X: x"+env+"}")
}

// take returns the models after another round, by name.
func (s *stored) take() map[string]actors.DesiredModel {
	desired, kept := accept.Revisions(s.in)
	out := map[string]actors.DesiredModel{}
	for _, m := range desired.Models {
		out[m.Name] = *m
		key := state.ModelKey("default", m.Name)
		s.in.Statuses[key] = state.Status{Key: key.String(), AcceptedRevision: m.Accepted, ObservedRevision: m.Revision,
			AcceptedSpec: kept[key].Spec, Template: kept[key].Template}
	}
	return out
}

// What all specs render to has a bound: past it the new ones are rejected.
func TestWhatIsRenderedIsBounded(t *testing.T) {
	s := &stored{t: t, in: accept.Input{Synced: true, MaxStored: 64 << 10, Statuses: map[state.Key]state.Status{}}}
	s.in.Entries = []*accept.Entry{s.model("a", 1, ""), s.model("b", 2, strings.Repeat("y", 40<<10))}
	if b := s.take()["b"]; b.Accepted != 0 || b.Rejected == nil || b.Rejected.Reason != state.ReasonTooManyBytes {
		t.Errorf("b: %d accepted, %+v", b.Accepted, b.Rejected)
	}
	s.in.Entries[1] = s.model("b", 3, "")
	if b := s.take()["b"]; b.Accepted != 3 || b.Rejected != nil {
		t.Errorf("a small one: %d accepted, %+v", b.Accepted, b.Rejected)
	}
}

// A server's new revision leaves the models as they are that it would make too large.
func TestAServerMakesNoModelTooLarge(t *testing.T) {
	s := &stored{t: t, in: accept.Input{Synced: true, MaxStored: 64 << 10, Statuses: map[state.Key]state.Status{}}}
	s.in.Entries = []*accept.Entry{s.model("a", 1, ""), s.model("b", 3, "")}
	before := s.take()
	s.in.Entries = append(s.in.Entries, s.entry(state.ServerKey("default"), 4, "default}\nspec: {env: {LONG: "+strings.Repeat("y", 40<<10)+"}"))
	for range 2 {
		refused, size := 0, 0
		for name, m := range s.take() {
			st := s.in.Statuses[state.ModelKey("default", name)]
			size += len(st.AcceptedSpec) + len(st.Template)
			if m.Rejected == nil {
				continue
			}
			refused++
			if m.Rejected.Reason != state.ReasonTooManyBytes || m.Accepted == 0 || m.Template.Generation != before[name].Template.Generation {
				t.Errorf("%s: %d accepted, generation %q, %+v", name, m.Accepted, m.Template.Generation, m.Rejected)
			}
		}
		if refused != 1 || size > s.in.MaxStored {
			t.Errorf("%d were left as they are; %d bytes in all", refused, size)
		}
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
		got, _ := accept.Revisions(accept.Input{Synced: true, Entries: []*accept.Entry{{Key: key, Revision: 1, Doc: doc, Err: err}}})
		r := got.Models[0].Rejected
		if r == nil || len(r.Message) > state.MaxMessage || state.Visible(r.Message) != r.Message {
			t.Errorf("%s: %.300q", name, r)
		}
	}
}
