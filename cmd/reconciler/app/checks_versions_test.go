package app

import (
	"encoding/json"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// TestWhatIsKeptUnread: what is left as it is because nobody here can read what was accepted
// of it is named; what recovers for other reasons is not.
func TestWhatIsKeptUnread(t *testing.T) {
	unread := func(key string) *state.Status { return &state.Status{Key: key, AcceptedSpec: json.RawMessage(`{}`)} }
	s := &snapshot{input: actors.Input{Desired: actors.Desired{
		Servers: []actors.DesiredServer{{Name: "s", Recovering: true, Status: unread("server.s")}, {Name: "lost", Recovering: true}},
		Models:  []*actors.DesiredModel{{Name: "m", Recovering: true, Status: unread("model.s.m")}, {Name: "fine", Status: unread("model.s.fine")}},
	}}}
	got := checkKept(nil, s)
	if got.State != checkDegraded || !strings.Contains(got.Text, "2 are left as they are") || !strings.Contains(got.Text, "server.s, model.s.m;") {
		t.Errorf("%+v", got)
	}
	for _, none := range []*snapshot{nil, {}} {
		if got := checkKept(nil, none); got.State != checkOK {
			t.Errorf("%+v", got)
		}
	}
}
