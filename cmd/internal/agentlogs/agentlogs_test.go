package agentlogs

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/kv/natsd/natsdtest"
)

// agent answers what is asked, and keeps it.
type agent struct {
	t             *testing.T
	nc            *nats.Conn
	asked, answer string
}

func newAgent(t *testing.T, answer string) *agent {
	t.Helper()
	nc, _ := natsdtest.Connect(t)
	a := &agent{t: t, nc: nc, answer: answer}
	if _, err := nc.Subscribe(Subject, func(m *nats.Msg) {
		a.asked = string(m.Data)
		_ = m.Respond([]byte(a.answer))
	}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *agent) ask(r Request) (Reply, error) { return Ask(a.t.Context(), a.nc, r) }

func TestAsk(t *testing.T) {
	a := newAgent(t, `{"text": "one\n", "attempt": 2, "rotations": 0, "offset": 4, "file": 9, "more": true, "path": "/x.log"}`)
	reply, err := a.ask(Request{Server: "s", Unit: "u", Actor: "a", Lines: -1})
	if err != nil || reply.Text != "one\n" || !reply.More || reply.Position != (Position{Attempt: 2, Offset: 4, File: 9}) {
		t.Errorf("%+v %v", reply, err)
	}
	if want := `{"server":"s","unit":"u","actor":"a","previous":false,"lines":-1}`; a.asked != want {
		t.Errorf("asked %s, want %s", a.asked, want)
	}
	if _, err := a.ask(Request{Position: &reply.Position}); err != nil {
		t.Fatal(err)
	}
	var next map[string]any
	if err := json.Unmarshal([]byte(a.asked), &next); err != nil || next["offset"] != 4.0 || next["file"] != 9.0 || next["attempt"] != 2.0 {
		t.Errorf("what follows is asked for with %s", a.asked)
	}
}

func TestAskWithoutAnAnswer(t *testing.T) {
	nc, _ := natsdtest.Connect(t)
	if _, err := Ask(t.Context(), nc, Request{}); !errors.Is(err, ErrAgentAway) {
		t.Errorf("without an agent: %v", err)
	}
	a := newAgent(t, `{"error": {"reason": "ActorGone", "message": "the actor is gone"}}`)
	_, err := a.ask(Request{})
	if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Reason != ActorGone || err.Error() != "the actor is gone" {
		t.Errorf("refused: %v", err)
	}
	a.answer = `not JSON`
	if _, err := a.ask(Request{}); err == nil {
		t.Error("an answer that is no answer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ask(ctx, a.nc, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestNamesOfLogs(t *testing.T) {
	infra := state.Unit{Server: "default", Unit: "infra", Generation: "00c0ffee"}
	worker := state.Unit{Server: "default", Unit: "1a2b3c4d_m_decode_2", Generation: "1a2b3c4d", Model: "m", Role: state.RoleDecode, Replica: 2}
	plain := worker
	plain.Role = state.RoleAggregated
	many := plain
	many.Actors = make([]state.Actor, 2)
	actor := func(u state.Unit, label string) state.Actor {
		return state.Actor{Name: "dynamo_default_" + u.Generation + "_" + label, Bundle: 1}
	}
	for _, tc := range []struct {
		unit        state.Unit
		label, want string
	}{
		{infra, "Dynamo_Frontend", "Frontend"},
		{worker, "Dynamo_decode_DP2_m", "decode_2"},
		{plain, "Dynamo_DP2_m", "DP2"},
		{many, "Dynamo_DP2_TP1_m", "DP2/1"},
	} {
		a := actor(tc.unit, tc.label)
		if got := ShortName(tc.unit, a); got != tc.want || Label(tc.unit, a) != tc.label {
			t.Errorf("%s is called %q and %q, want %q", a.Name, got, Label(tc.unit, a), tc.want)
		}
	}
	a := actor(infra, "Dynamo_ETCD")
	for session, want := range map[string]string{
		"session_1": "/tmp/ray/session_1/nemo_curator_dynamo_default_infra/Dynamo_ETCD.log",
		"/x/s":      "/x/s/nemo_curator_dynamo_default_infra/Dynamo_ETCD.log",
		"":          "/tmp/ray/session_*/nemo_curator_dynamo_default_infra/Dynamo_ETCD.log",
	} {
		if got := Path(session, infra, a); got != want {
			t.Errorf("%q: %s, want %s", session, got, want)
		}
	}
}

// FuzzReply: any answer is read or refused, in few words.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"text":"a\n","attempt":1,"offset":2,"file":3,"more":true}`))
	f.Add([]byte(`{"error":{"reason":"Stale","message":"m"}}`))
	f.Add([]byte(`{"attempt":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decodeReply(data); err != nil && len(err.Error()) > state.MaxMessage {
			t.Errorf("%.300v", err)
		}
		Plain(string(data))
	})
}

func TestPlain(t *testing.T) {
	if got := Plain("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07"); got != "red link" {
		t.Errorf("%q", got)
	}
}
