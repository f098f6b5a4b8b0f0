package app

import (
	"testing"
	"time"

	"dynctl/state"
	"dynctl/state/kv"
)

// echoes is a loop whose views are followed, as its last round has read them.
type echoes struct {
	*loop
	t      *testing.T
	kicked chan struct{}
	lines  *logLines
}

func newEchoes(t *testing.T) *echoes {
	t.Helper()
	l, _, lines := actingLoop(t)
	e := &echoes{l, t, make(chan struct{}, 1), lines}
	var err error
	l.app.views, err = kv.Watch(t.Context(), l.app.store.JetStream(), func() { signal(e.kicked) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.app.views.Close)
	e.until(l.app.views.Loaded)
	e.read()
	return e
}

func (e *echoes) until(seen func() bool) {
	e.t.Helper()
	late := time.After(30 * time.Second)
	for !seen() {
		select {
		case <-e.kicked:
		case <-late:
			e.t.Fatal("the views do not show it")
		}
	}
}

// read is what a round does before it concludes anything.
func (e *echoes) read() {
	e.quiet.news = e.app.views.News()
	e.stored()
	e.next = time.Now().Add(idleRound)
}

// write writes a status as it is, and has it seen.
func (e *echoes) write(s state.Status) state.Status {
	e.t.Helper()
	before := e.app.views.News()
	var err error
	if s.Revision, err = e.app.store.PutStatus(e.t.Context(), s); err != nil {
		e.t.Fatal(err)
	}
	e.until(func() bool { return e.app.views.News() != before })
	return s
}

// A round for nothing but what this process has written is put off, and made at the time at
// which one is due at the latest; whatever else has changed has it made at once.
func TestARoundForItsOwnStatusesIsPutOff(t *testing.T) {
	e := newEchoes(t)
	if e.putOff() != 0 {
		t.Error("nothing has changed, and it is put off: something else has asked for it")
	}
	s := e.write(statusOf("m"))
	if e.putOff() != 0 {
		t.Error("it is put off for what somebody else has written")
	}
	e.written[s.Key] = s
	own := e.putOff()
	if own <= 0 || own > ownRound {
		t.Errorf("put off for %s, want up to %s", own, ownRound)
	}
	if at := e.next; e.putOff() > ownRound || !e.next.Equal(at) {
		t.Error("it is put off again and again")
	}
	e.read()
	if _, waits := e.written[s.Key]; waits || e.putOff() != 0 {
		t.Error("the round has not seen what came back")
	}
	e.writes.under[s.Key] = &underWay{}
	if e.write(s); e.putOff() == 0 {
		t.Error("what is on its way is somebody else's once it comes back")
	}
	e.Kick()
	if e.putOff() != 0 {
		t.Error("it is put off although it is asked for whatever has changed")
	}
	<-e.again
	before := e.app.views.News()
	spec := "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: acme/m, engine: mocker}\n"
	if _, err := e.app.store.PutSpec(t.Context(), state.ModelKey("default", "m"), []byte(spec), kv.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	e.until(func() bool { return !e.app.views.News().StatusesAlone(before) })
	if e.putOff() != 0 {
		t.Error("it is put off although a spec has come")
	}
}
