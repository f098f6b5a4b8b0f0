package logs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dynctl/cmd/internal/agentlogs"
	"dynctl/cmd/internal/agentlogs/agentlogstest"
	"dynctl/cmd/internal/storetest"
	"dynctl/state"
	"dynctl/state/kv"
)

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

// storeOf is a store of its own, and writes the unit infra with actors of these labels.
func storeOf(t *testing.T) (client *kv.Client, put func(labels ...string)) {
	t.Helper()
	client, _ = storetest.New(t)
	bucket, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err == nil {
		_, err = bucket.PutString(t.Context(), "agent", `{"incarnation": 1, "synced": true}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return client, func(labels ...string) {
		var list []string
		for _, l := range labels {
			list = append(list, `{"name": "dynamo_default_1a2b3c4d_Dynamo_`+l+`"}`)
		}
		value := `{"incarnation": 1, "server": "default", "unit": "infra", "generation": "1a2b3c4d", "state": "Running", "actors": [` + strings.Join(list, ",") + `]}`
		if _, err := bucket.PutString(t.Context(), "unit.default.infra", value); err != nil {
			t.Fatal(err)
		}
	}
}

const etcd, frontend = "infra/dynamo_default_1a2b3c4d_Dynamo_ETCD", "infra/dynamo_default_1a2b3c4d_Dynamo_Frontend"

var infra = Selection{Name: "unit/infra", Match: func(u state.Unit) bool { return u.Unit == "infra" }}

// TestFollow: what is written, another attempt, a worker that joins, one that
// leaves.
func TestFollow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, put := storeOf(t)
	f := &agentlogstest.Agent{Piece: 1 << 10, Logs: map[string]agentlogstest.Log{etcd: {Attempt: 1, Text: "zero\none\n"}}}
	if err := f.Serve(client.JetStream().Conn()); err != nil {
		t.Fatal(err)
	}
	put("ETCD")
	out, notes, ended := newOutput(), newOutput(), make(chan error, 1)
	r := &Reader{Client: client, Out: out, Err: notes, Now: time.Now, Dim: func(s string) string { return s }, Lines: 1}
	go func() { ended <- r.Follow(ctx, infra) }()
	out.until(t, "one\n")
	f.Set(etcd, agentlogstest.Log{Attempt: 1, Text: "zero\none\ntwo\nunfinished"})
	out.until(t, "two\n")
	f.Set(etcd, agentlogstest.Log{Attempt: 2, Text: "three\n"})
	out.until(t, "one\ntwo\nunfinished\nthree\n")
	notes.until(t, "--- ETCD: attempt 2 ---\n")
	f.Set(frontend, agentlogstest.Log{Attempt: 1, Text: "up\n"})
	put("ETCD", "Frontend")
	out.until(t, "\nFrontend | up\n")
	put("ETCD")
	notes.until(t, "--- Frontend: gone ---\n")
	f.Set(etcd, agentlogstest.Log{Error: &agentlogs.Refusal{Reason: agentlogs.ActorGone, Message: "the actor is gone"}})
	notes.until(t, "ETCD: the actor is gone; waiting for it\n")
	f.Set(etcd, agentlogstest.Log{Attempt: 3, Text: "four\n"})
	out.until(t, "four\n")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v: %s", err, notes)
	}
	if strings.Contains(out.String(), "zero") || strings.Count(out.String(), "three") != 1 {
		t.Errorf("out:\n%s", out)
	}
}

// once is a file on a disk that is full after the first line.
type once struct {
	first chan struct{}
	wrote bool
}

var errFull = errors.New("no space left on device")

func (o *once) Write(p []byte) (int, error) {
	if o.wrote {
		return 0, errFull
	}
	o.wrote = true
	close(o.first)
	return len(p), nil
}

// TestFollowIntoAFullDisk: nobody follows what cannot be written any more.
func TestFollowIntoAFullDisk(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, put := storeOf(t)
	f := &agentlogstest.Agent{Piece: 1 << 10, Logs: map[string]agentlogstest.Log{etcd: {Attempt: 1, Text: "one\n"}}}
	if err := f.Serve(client.JetStream().Conn()); err != nil {
		t.Fatal(err)
	}
	put("ETCD")
	out, ended := &once{first: make(chan struct{})}, make(chan error, 1)
	r := &Reader{Client: client, Out: out, Err: newOutput(), Now: time.Now, Dim: func(s string) string { return s }, Lines: -1}
	go func() { ended <- r.Follow(ctx, infra) }()
	<-out.first
	f.Set(etcd, agentlogstest.Log{Attempt: 1, Text: "one\ntwo\n"})
	if err := <-ended; !errors.Is(err, errFull) {
		t.Errorf("it ended with %v", err)
	}
}
