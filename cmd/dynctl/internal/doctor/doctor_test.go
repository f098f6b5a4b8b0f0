package doctor

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/cmd/internal/storetest"
	"dynctl/state"
	"dynctl/state/kv"
)

// examine makes the checks with a clock that is ahead; nothing is declared.
func examine(t *testing.T, client *kv.Client, ahead time.Duration) []Finding {
	t.Helper()
	d := &Doctor{
		Now:     func() time.Time { return time.Now().Add(ahead) },
		Objects: func(context.Context, *kv.Client, string) ([]Object, error) { return nil, nil },
	}
	return d.Examine(t.Context(), client)
}

// TestClock: a clock that disagrees with the store's is told of, and what
// the store says is not misread because of it.
func TestClock(t *testing.T) {
	client, _ := storetest.New(t)
	observed, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		ahead   time.Duration
		result  string
		message string
	}{
		{0, OK, "less than 2s apart"},
		{time.Hour + 30*time.Second, Warn, "60m ahead of that of NATS"},
		{-time.Hour - 30*time.Second, Warn, "60m behind that of NATS"},
	} {
		if _, err := observed.Put(t.Context(), "agent", []byte(`{"incarnation": 1, "synced": true, "version": "1"}`)); err != nil {
			t.Fatal(err)
		}
		for _, f := range examine(t, client, row.ahead) {
			switch {
			case f.Check == CheckClock && (f.Result != row.result || !strings.Contains(f.Message, row.message)):
				t.Errorf("%s ahead: got %s, %q; want %s, %q", row.ahead, f.Result, f.Message, row.result, row.message)
			case f.Check == CheckAgent && f.Result != OK:
				t.Errorf("%s ahead: an agent that has just reported: %s, %q", row.ahead, f.Result, f.Message)
			}
		}
	}
}

// TestAgentFailing: why no agent stays is told as the reconciler finds it, also
// while an agent happens to be there.
func TestAgentFailing(t *testing.T) {
	client, _ := storetest.New(t)
	var failure atomic.Pointer[state.AgentFailure]
	failure.Store(&state.AgentFailure{Message: "the agent's job ended (FAILED): RecursionError", Way: "use another Python", Job: "dynctl-agent-1"})
	elector := kv.NewElector(client.JetStream(), kv.ElectorOptions{ID: "r1", AgentFailure: failure.Load})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-elector.Leadership()
	want := Finding{CheckAgent, Fail, "AgentFailing: the agent's job ended (FAILED): RecursionError", "use another Python; the whole log: `ray job logs dynctl-agent-1`"}
	until := func(what string, failing bool) {
		t.Helper()
		for late := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			findings := examine(t, client, 0)
			if slices.Contains(findings, want) == failing {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("%s: %+v", what, findings)
			}
		}
	}
	until("it is told", true)
	failure.Store(&state.AgentFailure{Message: "the agent's job ended (FAILED): MemoryError", Up: true})
	want = Finding{CheckAgent, Warn, "AgentFailing, with an agent at work in between: the agent's job ended (FAILED): MemoryError", "see the Ray dashboard's jobs"}
	until("one is there for some time", true)
	failure.Store(nil)
	until("it is over", false)
}

// TestRayCluster: what is the matter with the Ray cluster is told under its reason,
// as a failure or as something to look at.
func TestRayCluster(t *testing.T) {
	client, _ := storetest.New(t)
	failure := state.AgentFailure{Reason: actors.RayClusterSuspended, Message: "RayCluster ml/prod is suspended", Way: "resume it"}
	notice := state.RayNotice{Reason: actors.RayServiceSwitching, Message: "RayService ml/chat makes a new cluster", Way: "raise the delay"}
	elector := kv.NewElector(client.JetStream(), kv.ElectorOptions{ID: "r1",
		AgentFailure: func() *state.AgentFailure { return &failure }, RayNotice: func() *state.RayNotice { return &notice }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-elector.Leadership()
	want := []Finding{
		{CheckAgent, Fail, "RayClusterSuspended: RayCluster ml/prod is suspended", "resume it"},
		{CheckRay, Warn, "RayServiceSwitching: RayService ml/chat makes a new cluster", "raise the delay"},
	}
	var findings []Finding
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
		findings = examine(t, client, 0)
		if slices.Contains(findings, want[0]) && slices.Contains(findings, want[1]) {
			return
		}
	}
	t.Errorf("got %+v", findings)
}

// TestNodeHealth: doctor says what the death of a node costs, as the cluster is set.
func TestNodeHealth(t *testing.T) {
	client, _ := storetest.New(t)
	observed, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, value string) {
		t.Helper()
		if _, err := observed.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	rays := func(health string) (out []Finding) {
		t.Helper()
		put("agent", `{"incarnation": 1, "synced": true, "version": "1"`+health+`}`)
		for _, f := range examine(t, client, 0) {
			if f.Check == CheckRay && !strings.HasSuffix(f.Message, "alive") {
				out = append(out, f)
			}
		}
		return out
	}
	put("node.n1", `{"id": "n1", "alive": true, "head": true, "incarnation": 1}`)
	const rayDefaults = `, "nodeHealth": {"initialDelayMs": 5000, "periodMs": 3000, "timeoutMs": 10000, "failureThreshold": 5}`
	if got := rays(rayDefaults); len(got) > 0 {
		t.Errorf("of one node: %+v", got)
	}
	put("node.n2", `{"id": "n2", "alive": true, "incarnation": 1}`)
	for _, row := range []struct{ health, result, message string }{
		{rayDefaults, Warn, "15s after it was killed, 1m5s after it went silent"},
		{`, "nodeHealth": {"initialDelayMs": 1000, "periodMs": 1000, "timeoutMs": 2000, "failureThreshold": 3}`, OK, "3s after it was killed, 9s after it went silent"},
		{`, "nodeHealth": null`, OK, "is not known"},
		{``, OK, "is not known"},
		{`, "nodeHealth": {"initialDelayMs": 1, "periodMs": -1, "timeoutMs": 1, "failureThreshold": 1}`, OK, "is not known"},
		{`, "nodeHealth": {"initialDelayMs": 1, "periodMs": 9000000000000, "timeoutMs": 1, "failureThreshold": 9000000}`, OK, "is not known"},
	} {
		got := rays(row.health)
		if len(got) != 1 || got[0].Result != row.result || !strings.Contains(got[0].Message, row.message) || (got[0].Next != "") != (row.result == Warn) {
			t.Errorf("%s: %+v, want %s, %q", row.health, got, row.result, row.message)
		}
	}
}

// TestPrograms: doctor says which etcd and nats-server the agent's node has.
func TestPrograms(t *testing.T) {
	client, _ := storetest.New(t)
	observed, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	const none = `"binaries": {"etcd": "", "nats-server": ""}`
	for _, row := range []struct{ agent, result, message string }{
		{`"binaries": {"etcd": "/usr/bin/etcd", "nats-server": "/usr/bin/nats-server"}`, OK, "etcd /usr/bin/etcd, nats-server /usr/bin/nats-server"},
		{none, Fail, "so no server can start there"},
		{none + `, "programs": {"package": "gcs://p.zip", "wanted": true}`, OK, "the reconciler's own are brought to it"},
		{none + `, "programs": {"package": "gcs://p.zip", "directory": "/tmp/ray/s/d"}`, OK, "etcd /tmp/ray/s/d/etcd, nats-server /tmp/ray/s/d/nats-server, brought there by the reconciler"},
	} {
		if _, err := observed.Put(t.Context(), "agent", []byte(`{"incarnation": 1, "synced": true, "version": "1", `+row.agent+`}`)); err != nil {
			t.Fatal(err)
		}
		var got []Finding
		for _, f := range examine(t, client, 0) {
			if f.Check == CheckBinaries {
				got = append(got, f)
			}
		}
		if len(got) != 1 || got[0].Result != row.result || !strings.Contains(got[0].Message, row.message) {
			t.Errorf("%s: %+v, want %s, %q", row.agent, got, row.result, row.message)
		}
	}
}
