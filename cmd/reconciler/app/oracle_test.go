package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
)

// acceptedOnce is the input of a round in which a model is accepted as its status says.
func acceptedOnce(t *testing.T) accept.Input {
	t.Helper()
	const text = "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: a}\nspec: {model: a, engine: mocker}\n"
	docs, err := state.Decode("a.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	key := state.ModelKey("default", "a")
	in := accept.Input{Synced: true, Entries: []*accept.Entry{{Key: key, Revision: 1, Doc: docs[0]}}, Created: time.Unix(1, 0)}
	_, kept := accept.Revisions(in)
	in.Statuses = map[state.Key]state.Status{key: {Key: key.String(), Kind: state.KindModel, Server: "default", Name: "a", ObservedRevision: 1, AcceptedRevision: 1,
		AcceptedIn: in.Created, ObservedIn: in.Created, AcceptedSpec: kept[key].Spec, Template: kept[key].Template, Revision: 3}}
	return in
}

// What is remembered counts until a comparison finds that it leads elsewhere; then what
// the whole state says does, until the next term.
func TestWhatIsRememberedIsComparedWithTheWhole(t *testing.T) {
	var log bytes.Buffer
	l := newLoop(&App{log: slog.New(slog.NewTextHandler(&log, nil))})
	in := acceptedOnce(t)
	now := time.Unix(100, 0)
	named := func(after time.Duration) string {
		t.Helper()
		now = now.Add(after)
		l.oracle.begin(now)
		desired, _ := l.oracle.accept(in)
		return desired.Models[0].Template.Slug
	}
	for range 3 { // the first one rests on nothing that is remembered
		if got := named(time.Second); got != "a" || log.Len() > 0 {
			t.Fatalf("the model is %q: %s", got, log.String())
		}
	}
	for key, st := range in.Statuses { // what nobody may do: what was handed out is changed in place
		i := bytes.Index(st.Template, []byte(`"slug":"a"`))
		if i < 0 {
			t.Fatalf("no slug in the template of %s: %s", key, st.Template)
		}
		st.Template[i+len(`"slug":"`)] = 'b'
	}
	if got := named(time.Second); got != "a" || log.Len() > 0 {
		t.Errorf("before it is compared the model is %q, want what is remembered: %s", got, log.String())
	}
	if got := named(compareEvery); got != "b" || !strings.Contains(log.String(), "the whole state counts") {
		t.Errorf("compared, the model is %q, want what the whole state says: %s", got, log.String())
	}
	log.Reset()
	for _, st := range in.Statuses {
		i := bytes.Index(st.Template, []byte(`"slug":"b"`))
		st.Template[i+len(`"slug":"`)] = 'c'
		if got := named(time.Second); got != "c" || log.Len() > 0 {
			t.Errorf("distrusted, the model is %q, want nothing remembered: %s", got, log.String())
		}
	}
	l.forget() // another term
	if got := named(time.Second); got != "c" || l.oracle.distrusted {
		t.Errorf("in the next term the model is %q, distrusted: %v", got, l.oracle.distrusted)
	}
}

// A term begins with a round that rests on nothing remembered, or on one such round made a
// moment ago: a reconciler that starts and leads reads what is stored once.
func TestATermBeginsWithTheWhole(t *testing.T) {
	l := newLoop(&App{log: slog.New(slog.DiscardHandler)})
	in, now := acceptedOnce(t), time.Unix(100, 0)
	round := func() (models int) {
		l.oracle.begin(now)
		if l.oracle.comparing {
			t.Error("a round that rests on nothing remembered is compared with itself")
		}
		l.oracle.accept(in)
		return l.oracle.memo.Looked()
	}
	in.Restated = map[state.Key]bool{} // nothing is another
	if n := round(); n != 1 {
		t.Fatalf("the first round looked at %d models, want 1", n)
	}
	now = now.Add(youngMemory - time.Second)
	if l.oracle.newTerm(now); round() != 0 {
		t.Error("a term that begins right after the start judges all again")
	}
	now = now.Add(2 * time.Second)
	if l.oracle.newTerm(now); round() != 1 {
		t.Error("a term rests on what was remembered long before it")
	}
}
