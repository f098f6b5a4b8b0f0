package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/internal/agentlogs"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// fakeLog is one log that a fake agent answers for.
type fakeLog struct {
	Attempt  int                `json:"attempt"`
	Text     string             `json:"text"`
	Previous string             `json:"previous"`
	Error    *agentlogs.Refusal `json:"error"`
}

// fakeAgent answers for logs as docs/protocol.md says.
type fakeAgent struct {
	piece int // bytes of an answer
	mu    sync.Mutex
	logs  map[string]fakeLog
}

func (f *fakeAgent) set(id string, l fakeLog) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[id] = l
}

func (f *fakeAgent) answer(r agentlogs.Request) agentlogs.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.logs[r.Unit+"/"+r.Actor]
	if !ok {
		return agentlogs.Reply{Error: &agentlogs.Refusal{Reason: agentlogs.NotFound, Message: "no actor " + r.Actor}}
	}
	if l.Error != nil {
		return agentlogs.Reply{Error: l.Error}
	}
	text, attempt := l.Text, l.Attempt
	if r.Previous {
		text, attempt = l.Previous, l.Attempt-1
	}
	from := 0
	switch {
	case r.Position != nil && r.Attempt == attempt:
		from = int(r.Offset)
	case r.Position == nil && r.Lines >= 0:
		lines := strings.SplitAfter(text, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		from = len(text) - len(strings.Join(lines[max(0, len(lines)-r.Lines):], ""))
	}
	end := min(len(text), from+f.piece)
	reply := agentlogs.Reply{Text: text[from:end], More: end < len(text)}
	reply.Position = agentlogs.Position{Attempt: attempt, Offset: int64(end)}
	if text != "" {
		reply.File = 1
	}
	return reply
}

func (f *fakeAgent) serve(conn *nats.Conn) error {
	_, err := conn.Subscribe(agentlogs.Subject, func(m *nats.Msg) {
		r := agentlogs.Request{Position: &agentlogs.Position{}}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			panic(err)
		}
		if !strings.Contains(string(m.Data), `"offset"`) {
			r.Position = nil
		}
		data, err := json.Marshal(f.answer(r))
		if err != nil {
			panic(err)
		}
		_ = m.Respond(data)
	})
	if err != nil {
		return err
	}
	return conn.Flush()
}

func serveLogs(ts *testscript.TestScript, _ bool, args []string) {
	f := &fakeAgent{piece: 7}
	ts.Check(json.Unmarshal(fixture(ts, args[0]), &f.logs))
	ts.Check(f.serve(clientOf(ts).JetStream().Conn()))
}

// output collects what a program writes while it runs.
type output struct {
	mu    sync.Mutex
	text  strings.Builder
	wrote chan struct{}
}

func newOutput() *output { return &output{wrote: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.wrote <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits for a text.
func (o *output) until(t *testing.T, want string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for !strings.Contains(o.String(), want) {
		select {
		case <-o.wrote:
		case <-limit:
			t.Fatalf("no %q in:\n%s", want, o)
		}
	}
}

// TestLogsFollow: what is written, another attempt, a worker that joins, one that
// leaves.
func TestLogsFollow(t *testing.T) {
	server := natsdtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	client, err := kv.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kv.EnsureBuckets(ctx, client.JetStream()); err != nil {
		t.Fatal(err)
	}
	bucket, err := client.JetStream().KeyValue(ctx, kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	put := func(labels ...string) {
		var list []string
		for _, l := range labels {
			list = append(list, `{"name": "dynamo_default_1a2b3c4d_Dynamo_`+l+`"}`)
		}
		value := `{"incarnation": 1, "server": "default", "unit": "infra", "generation": "1a2b3c4d", "state": "Running", "actors": [` + strings.Join(list, ",") + `]}`
		if _, err := bucket.PutString(ctx, "unit.default.infra", value); err != nil {
			t.Fatal(err)
		}
	}
	const etcd, frontend = "infra/dynamo_default_1a2b3c4d_Dynamo_ETCD", "infra/dynamo_default_1a2b3c4d_Dynamo_Frontend"
	f := &fakeAgent{piece: 1 << 10, logs: map[string]fakeLog{etcd: {Attempt: 1, Text: "zero\none\n"}}}
	if err := f.serve(client.JetStream().Conn()); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutString(ctx, "agent", `{"incarnation": 1, "synced": true}`); err != nil {
		t.Fatal(err)
	}
	put("ETCD")
	out, notes, code := newOutput(), newOutput(), make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"logs", "infra", "-f", "-n", "1", "--nats-url", server.URL()}, strings.NewReader(""), out, notes)
	}()
	out.until(t, "one\n")
	f.set(etcd, fakeLog{Attempt: 1, Text: "zero\none\ntwo\nunfinished"})
	out.until(t, "two\n")
	f.set(etcd, fakeLog{Attempt: 2, Text: "three\n"})
	out.until(t, "one\ntwo\nunfinished\nthree\n")
	notes.until(t, "--- ETCD: attempt 2 ---\n")
	f.set(frontend, fakeLog{Attempt: 1, Text: "up\n"})
	put("ETCD", "Frontend")
	out.until(t, "\nFrontend | up\n")
	put("ETCD")
	notes.until(t, "--- Frontend: gone ---\n")
	f.set(etcd, fakeLog{Error: &agentlogs.Refusal{Reason: agentlogs.ActorGone, Message: "the actor is gone"}})
	notes.until(t, "ETCD: the actor is gone; waiting for it\n")
	f.set(etcd, fakeLog{Attempt: 3, Text: "four\n"})
	out.until(t, "four\n")
	cancel()
	if c := <-code; c != exit.OK {
		t.Errorf("exit code %d: %s", c, notes)
	}
	if strings.Contains(out.String(), "zero") || strings.Count(out.String(), "three") != 1 {
		t.Errorf("out:\n%s", out)
	}
}
