package app

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

// TestSecretsOfAStartAreNotInTheStream: what a spec says literally of an environment, and
// the passwords of its URLs, are in no stored event; an agent that asks gets all of it.
func TestSecretsOfAStartAreNotInTheStream(t *testing.T) {
	l, term, _ := actingLoop(t)
	if err := l.app.withheld.serve(l.app.nc); err != nil {
		t.Fatal(err)
	}
	template := actors.UnitTemplate{Server: "default", Unit: "1a2b3c4d_m_DP0", Digest: "d", Actors: []actors.ActorTemplate{{
		Name: "a", Argv: []actors.Text{actors.Lit("--url"), actors.Lit("http://me:hush@h/")},
		Env: []actors.EnvVar{
			{Name: "TOKEN", Value: actors.Lit("hush")}, {Name: "ETCD_ENDPOINTS", Value: actors.Lit("http://me:hush@etcd:2379")},
			{Name: "PYTHONHASHSEED", Value: actors.Lit("0")}, {Name: "FILE", FromFile: "/run/secrets/x"},
		},
		RuntimeEnv: state.Args{{Key: "env_vars", Value: json.RawMessage(`{"KEY":"hush","N":"1"}`)}},
	}}}
	plan := actors.Result{Starts: []actors.Start{{Template: template}}}
	command := func(asks bool, at time.Time) (id string, stored []byte) {
		carryOut(t, l, term, actors.Input{Now: at, Observed: state.Observed{Agent: &state.Agent{Incarnation: 1, Asks: asks}}}, plan, nil)
		s, err := mustStream(t, l)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(t.Context(), "dynctl.events.default.start."+template.Unit)
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID, m.Data
	}
	now := time.Now()
	id, stored := command(true, now)
	if text := string(stored); strings.Contains(text, "hush") || !strings.Contains(text, `"withheld":true`) || !strings.Contains(text, "http://me:xxxxx@etcd:2379") {
		t.Errorf("the stream has %s", text)
	}
	reply, err := l.app.nc.Request(withheldSubject, []byte(id), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Template actors.UnitTemplate `json:"template"`
	}
	if err := json.Unmarshal(reply.Data, &got); err != nil || got.Template.Actors[0].Env[0].Value.S != "hush" || got.Template.Digest != "d" {
		t.Errorf("the agent is told %s (%v)", reply.Data, err)
	}
	if _, err := l.app.nc.Request(withheldSubject, []byte("1-nothing"), 200*time.Millisecond); err == nil {
		t.Error("a command that was never given is told")
	}
	if template.Actors[0].Env[0].Value.S != "hush" {
		t.Error("the plan was changed")
	}
	// An agent of before is told everything at once.
	if _, stored = command(false, now.Add(time.Minute)); !strings.Contains(string(stored), "hush") {
		t.Errorf("an agent that does not ask gets %s", stored)
	}
}

func mustStream(t *testing.T, l *loop) (jetstream.Stream, error) {
	t.Helper()
	js, err := jetstream.New(l.app.nc)
	if err != nil {
		return nil, err
	}
	return js.Stream(context.WithoutCancel(t.Context()), events.Stream)
}
