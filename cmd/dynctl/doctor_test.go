package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// newStore is a store of its own, to which dynctl connects by itself.
func newStore(t *testing.T) *kv.Client {
	t.Helper()
	server := natsdtest.Start(t)
	client, err := kv.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kv.EnsureBuckets(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	t.Setenv(envNATSURL, server.URL())
	return client
}

// TestDoctorClock: a clock that disagrees with the store's is told of, and what
// the store says is not misread because of it.
func TestDoctorClock(t *testing.T) {
	client := newStore(t)
	observed, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		ahead   time.Duration
		result  string
		message string
	}{
		{0, resultOK, "less than 2s apart"},
		{time.Hour + 30*time.Second, resultWarn, "60m ahead of that of NATS"},
		{-time.Hour - 30*time.Second, resultWarn, "60m behind that of NATS"},
	} {
		if _, err := observed.Put(t.Context(), "agent", []byte(`{"incarnation": 1, "synced": true, "version": "1"}`)); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		a := newApp(strings.NewReader(""), &stdout, &stderr)
		a.now = func() time.Time { return time.Now().Add(row.ahead) }
		a.run(t.Context(), []string{"doctor", "-o", "json"})
		var findings []finding
		if err := json.Unmarshal(stdout.Bytes(), &findings); err != nil {
			t.Fatalf("%v: %s%s", err, stdout.String(), stderr.String())
		}
		for _, f := range findings {
			switch {
			case f.Check == checkClock && (f.Result != row.result || !strings.Contains(f.Message, row.message)):
				t.Errorf("%s ahead: got %s, %q; want %s, %q", row.ahead, f.Result, f.Message, row.result, row.message)
			case f.Check == checkAgent && f.Result != resultOK:
				t.Errorf("%s ahead: an agent that has just reported: %s, %q", row.ahead, f.Result, f.Message)
			}
		}
	}
}

// TestDoctorAgentFailing: why no agent stays is told as the reconciler finds it, also
// while an agent happens to be there.
func TestDoctorAgentFailing(t *testing.T) {
	client := newStore(t)
	var failure atomic.Pointer[state.AgentFailure]
	failure.Store(&state.AgentFailure{Message: "the agent's job ended (FAILED): RecursionError", Way: "use another Python", Job: "dynctl-agent-1"})
	elector := kv.NewElector(client.JetStream(), kv.ElectorOptions{ID: "r1", AgentFailure: failure.Load})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-elector.Leadership()
	look := func() (code int, findings []finding) {
		var stdout, stderr bytes.Buffer
		code = newApp(strings.NewReader(""), &stdout, &stderr).run(t.Context(), []string{"doctor", "-o", "json"})
		if err := json.Unmarshal(stdout.Bytes(), &findings); err != nil {
			t.Fatalf("%v: %s%s", err, stdout.String(), stderr.String())
		}
		return code, slices.DeleteFunc(findings, func(f finding) bool { return f.Check != checkAgent })
	}
	want := finding{checkAgent, resultFail, "AgentFailing: the agent's job ended (FAILED): RecursionError", "use another Python; the whole log: `ray job logs dynctl-agent-1`"}
	until := func(what string, failing bool) {
		t.Helper()
		for late := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			code, findings := look()
			if slices.Contains(findings, want) == failing && code == exit.Difference {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("%s: exit code %d, %+v", what, code, findings)
			}
		}
	}
	until("it is told", true)
	failure.Store(nil)
	until("it is over", false)
}

// TestDoctorRayCluster: what is the matter with the Ray cluster is told under its reason,
// as a failure or as something to look at.
func TestDoctorRayCluster(t *testing.T) {
	client := newStore(t)
	failure := state.AgentFailure{Reason: actors.RayClusterSuspended, Message: "RayCluster ml/prod is suspended", Way: "resume it"}
	notice := state.RayNotice{Reason: actors.RayServiceSwitching, Message: "RayService ml/chat makes a new cluster", Way: "raise the delay"}
	elector := kv.NewElector(client.JetStream(), kv.ElectorOptions{ID: "r1",
		AgentFailure: func() *state.AgentFailure { return &failure }, RayNotice: func() *state.RayNotice { return &notice }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-elector.Leadership()
	want := []finding{
		{checkAgent, resultFail, "RayClusterSuspended: RayCluster ml/prod is suspended", "resume it"},
		{checkRay, resultWarn, "RayServiceSwitching: RayService ml/chat makes a new cluster", "raise the delay"},
	}
	var findings []finding
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
		var stdout, stderr bytes.Buffer
		newApp(strings.NewReader(""), &stdout, &stderr).run(t.Context(), []string{"doctor", "-o", "json"})
		if err := json.Unmarshal(stdout.Bytes(), &findings); err != nil {
			t.Fatalf("%v: %s%s", err, stdout.String(), stderr.String())
		}
		if slices.Contains(findings, want[0]) && slices.Contains(findings, want[1]) {
			return
		}
	}
	t.Errorf("got %+v", findings)
}
