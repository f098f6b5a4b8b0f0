package app

import (
	"strings"
	"testing"
	"time"

	"dynctl/events"
	"dynctl/state"
)

// What is told names the agent that it speaks of, also where another one has followed before
// the silence of the first was seen.
func TestWhichAgentIsTold(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name         string
		was          agentTold
		incarnation  uint64
		up           bool
		typ, object  string
		says         string
		toldUp       bool
		toldOf       uint64
		nothingToSay bool
	}{
		{name: "the first", incarnation: 1, up: true, typ: events.TypeAgentConnected, object: "1", says: "incarnation 1 on", toldUp: true, toldOf: 1},
		{name: "it falls silent", was: agentTold{true, 1}, incarnation: 1, typ: events.TypeAgentLost, object: "1", says: "incarnation 1 is silent since 2026-11-01T12:00:00Z", toldOf: 1},
		{name: "it is followed at once, by one that reads yet", was: agentTold{true, 1}, incarnation: 2, typ: events.TypeAgentLost, object: "1",
			says: "incarnation 1 is gone, and incarnation 2 reads", toldOf: 2},
		{name: "that one is there", was: agentTold{false, 2}, incarnation: 2, up: true, typ: events.TypeAgentConnected, object: "2", says: "incarnation 2 on", toldUp: true, toldOf: 2},
		{name: "one that reads yet, after one that was told to be lost", was: agentTold{false, 1}, incarnation: 2, toldOf: 1, nothingToSay: true},
	} {
		e, told := agentFact(row.was, state.Agent{Incarnation: row.incarnation, At: at}, row.up)
		if told != (agentTold{row.toldUp, row.toldOf}) {
			t.Errorf("%s: told %+v", row.name, told)
		}
		if row.nothingToSay {
			if told != row.was {
				t.Errorf("%s: told %s", row.name, e.Data.Message)
			}
			continue
		}
		if e.Type != row.typ || e.Object != row.object || !strings.Contains(e.Data.Message, row.says) {
			t.Errorf("%s: %s %s %q, want %s %s %q", row.name, e.Type, e.Object, e.Data.Message, row.typ, row.object, row.says)
		}
	}
}

// An agent that is silent carries no spec out, whatever its last heartbeat said: for as long as a
// successor takes that is a delay, and after that a failure.
func TestASilentAgentIsNotReady(t *testing.T) {
	r := newRig(t, 1)
	r.declare(1)
	r.allReady(1)
	r.sim.Close()
	says := func(want int, state string) {
		t.Helper()
		r.eventually("/readyz says "+state, func() bool {
			code, text, checks := r.readyzOf()
			return code == want && strings.Contains(text, "has been silent for") && checks["agent"].State == state
		})
	}
	says(200, checkDegraded)
	late := time.Now().Add(-replacedWithin - time.Second)
	r.app.heardAt.Store(&late)
	says(503, checkFailed)
}
