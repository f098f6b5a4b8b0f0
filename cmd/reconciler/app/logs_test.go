package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/cmd/internal/agentlogs"
	"dynctl/state"
	"dynctl/state/kv/natsd/natsdtest"
)

// logAgent answers for logs with what a test says.
type logAgent struct {
	app   *App
	asked []agentlogs.Request
	reply func(agentlogs.Request) agentlogs.Reply
}

func newLogAgent(t *testing.T) *logAgent {
	t.Helper()
	nc, _ := natsdtest.Connect(t)
	l := &logAgent{app: &App{nc: nc, logs: newLogGate()}}
	sub, err := nc.Subscribe(agentlogs.Subject, func(m *nats.Msg) {
		r := agentlogs.Request{}
		if strings.Contains(string(m.Data), `"offset"`) {
			r.Position = &agentlogs.Position{}
		}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			panic(err)
		}
		l.asked = append(l.asked, r)
		data, err := json.Marshal(l.reply(r))
		if err != nil {
			panic(err)
		}
		_ = m.Respond(data)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	return l
}

func (l *logAgent) get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	l.asked = nil
	mux := http.NewServeMux()
	mux.HandleFunc("GET /logs/{server}/{unit}/{actor}", l.app.serveLog)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w
}

func TestALogIsSentAsPlainText(t *testing.T) {
	l := newLogAgent(t)
	pieces := []string{"zero\n\x1b[31mre", "d\x1b[0m\r\nnot fin", "ished"}
	l.reply = func(r agentlogs.Request) agentlogs.Reply {
		n := 0
		if r.Position != nil {
			n = int(r.Offset)
		}
		return agentlogs.Reply{Text: pieces[n], More: n < 2, Path: "/x.log", Position: agentlogs.Position{Attempt: 3, Offset: int64(n) + 1, File: 9}}
	}
	w := l.get(t, "/logs/default/infra/dynamo_default_00c0ffee_Dynamo_ETCD?lines=20")
	if got := w.Body.String(); w.Code != 200 || got != "zero\nred\nnot finished\n" {
		t.Errorf("%d %q", w.Code, got)
	}
	for name, want := range map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "no-store", "X-Log-Path": "/x.log", "X-Log-Attempt": "3"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if first := l.asked[0]; len(l.asked) != 3 || first.Server != "default" || first.Unit != "infra" || first.Actor != "dynamo_default_00c0ffee_Dynamo_ETCD" ||
		first.Lines != 20 || first.Previous || first.Position != nil {
		t.Errorf("asked %+v", l.asked)
	}
	l.get(t, "/logs/default/infra/x?previous=1")
	if first := l.asked[0]; !first.Previous || first.Lines != defaultLogLines {
		t.Errorf("asked %+v", first)
	}
}

func TestAnAttemptThatEndsWhileItsLogIsSent(t *testing.T) {
	l := newLogAgent(t)
	l.reply = func(r agentlogs.Request) agentlogs.Reply {
		switch {
		case r.Position == nil:
			return agentlogs.Reply{Text: "unfinished", More: true, Position: agentlogs.Position{Attempt: 1, File: 1}}
		case r.Attempt == 1:
			return agentlogs.Reply{Text: "again\n", More: true, Position: agentlogs.Position{Attempt: 2, File: 2}}
		}
		return agentlogs.Reply{Error: &agentlogs.Refusal{Reason: agentlogs.ActorGone, Message: "the actor is gone"}}
	}
	if got := l.get(t, "/logs/s/u/a").Body.String(); got != "unfinished\n--- attempt 2 ---\nagain\n\n--- the actor is gone ---\n" {
		t.Errorf("%q", got)
	}
}

func TestALogWithoutEndIsCut(t *testing.T) {
	l := newLogAgent(t)
	line := strings.Repeat("x", 200<<10) + "\n"
	l.reply = func(agentlogs.Request) agentlogs.Reply {
		return agentlogs.Reply{Text: line, More: true, Position: agentlogs.Position{Attempt: 1, File: 1}}
	}
	w := l.get(t, "/logs/s/u/a")
	if got := w.Body.Len(); got > maxLogBytes+2*len(line) || !strings.HasSuffix(w.Body.String(), "--- cut after 16 MiB: `dynctl logs` prints all ---\n") {
		t.Errorf("%d bytes, ending in %q", got, w.Body.String()[got-80:])
	}
}

func TestWhyALogCannotBeRead(t *testing.T) {
	exit := &state.Exit{Attempt: 4, Code: 1, Reason: "Exited", LogTail: "out of memory\n", At: noon}
	u := aWorker(4, exit)
	in := roundOf(0, u)
	in.Observed.Agent = &state.Agent{Session: "session_1", At: time.Now().Add(-7 * time.Second)}
	path := "/logs/default/" + u.Unit + "/" + u.Actors[0].Name
	refusal := func(reason string) agentlogs.Reply {
		return agentlogs.Reply{Error: &agentlogs.Refusal{Reason: reason, Message: "the agent says " + reason}}
	}
	l := newLogAgent(t)
	l.app.snapshot.Store(&snapshot{input: in})
	for _, tc := range []struct {
		name, path string
		reply      agentlogs.Reply
		code       int
		want       string
	}{
		{"no such actor", path, refusal("NotFound"), 404, "the agent says NotFound\n"},
		{"the actor is gone", path, refusal("ActorGone"), 410, "the agent says ActorGone; its log may lie at 10.0.0.5:/tmp/ray/session_1/nemo_curator_dynamo_default_1a2b3c4d_m_DP0/Dynamo_DP0_m.log\n\n" +
			"Attempt 4 ended at 2026-11-24T12:00:00Z: code 1, Exited. Its last lines:\n\nout of memory\n"},
		{"an actor that nobody knows is gone", "/logs/default/x/y", refusal("ActorGone"), 410, "the agent says ActorGone\n"},
		{"a silent actor", path, refusal("ActorSilent"), 504, "the agent says ActorSilent\n"},
		{"an old actor", path, refusal("OldActor"), 502, "the agent says OldActor\n"},
		{"another agent is in charge", path, refusal("Stale"), 503, "the agent says Stale\n"},
		{"refused", path, refusal("BadRequest"), 400, "the agent says BadRequest\n"},
		{"no log before", path + "?previous=1", agentlogs.Reply{Position: agentlogs.Position{Attempt: 1}}, 404, "there is no log before this one\n"},
		{"nothing executed", path, agentlogs.Reply{}, 404, "nothing was executed yet, so there is no log\n"},
		{"lines that are no number", path + "?lines=all", agentlogs.Reply{}, 400, "lines=all: want a number from 1 to 10000; `dynctl logs -n -1` prints whole logs\n"},
		{"too many lines", path + "?lines=10001", agentlogs.Reply{}, 400, "lines=10001: want a number from 1 to 10000; `dynctl logs -n -1` prints whole logs\n"},
		{"previous that is no truth", path + "?previous=maybe", agentlogs.Reply{}, 400, "previous=maybe: want 1 for the log of the attempt before\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.reply = func(agentlogs.Request) agentlogs.Reply { return tc.reply }
			w := l.get(t, tc.path)
			if w.Code != tc.code || w.Body.String() != tc.want {
				t.Errorf("%d %q\nwant %d %q", w.Code, w.Body, tc.code, tc.want)
			}
			if w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

func TestLogsWithoutAnAgent(t *testing.T) {
	nc, _ := natsdtest.Connect(t)
	l := &logAgent{app: &App{nc: nc, logs: newLogGate()}}
	if w := l.get(t, "/logs/s/u/a"); w.Code != 503 || w.Body.String() != "no agent answers, so logs cannot be read: none has ever reported (see /readyz)\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	l.app.snapshot.Store(&snapshot{input: actors.Input{Observed: state.Observed{Agent: &state.Agent{At: time.Now().Add(-7 * time.Second)}}}})
	if w := l.get(t, "/logs/s/u/a"); w.Code != 503 || !strings.Contains(w.Body.String(), "its last heartbeat was 7s ago (see /readyz)") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if code := codeOf(fmt.Errorf("x: %w", errors.New("nats: no connection"))); code != 502 {
		t.Errorf("trouble with NATS: %d", code)
	}
}
