package main

import (
	"testing"
	"time"

	"dynctl/cmd/internal/verdict"
	"dynctl/state"
)

func statusWith(conditions ...string) *state.Status {
	s := &state.Status{Kind: state.KindModel, Server: "default", Name: "m", AcceptedRevision: 3}
	for i := 0; i < len(conditions); i += 3 {
		s.Conditions = append(s.Conditions, state.Condition{Type: conditions[i], Status: conditions[i+1], Reason: conditions[i+2]})
	}
	return s
}

// TestJudge has one row for each rule, in their order.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	later := now.Add(30 * time.Second)
	failing := statusWith("Accepted", "True", "OK", "WorkersReady", "False", "CrashLoopBackOff", "Available", "False", "NoWorkers")
	failing.Roles = map[string]state.RoleStatus{"aggregated": {Desired: 1, BackoffUntil: &later}}
	for _, row := range []struct {
		name   string
		status *state.Status
		word   string
		reason string
		next   string
	}{
		{"suspended wins over everything", statusWith("Suspended", "True", "Suspended", "Available", "False", "x"), verdict.Suspended, "Suspended", "dynctl resume model/m"},
		{"all true", statusWith("Ready", "True", "OK", "Available", "True", "OK"), verdict.Serving, "", ""},
		{"serves, but is out of date", statusWith("Ready", "True", "OK", "Available", "True", "OK", "UpToDate", "False", "RendererChanged"),
			verdict.Serving, "RendererChanged", "runs on as it is; `dynctl restart` brings it up to date"},
		{"an older spec serves", statusWith("Accepted", "False", "SlugConflict", "Ready", "False", "x", "Available", "True", "OK"),
			verdict.Stale, "SlugConflict", "correct it with `dynctl set`; revision 3 runs on"},
		{"some serve", statusWith("WorkersReady", "False", "WorkersStarting", "Ready", "False", "x", "Available", "True", "OK"), verdict.Degraded, "WorkersStarting", ""},
		{"the only spec is rejected", statusWith("Accepted", "False", "EmptyModel", "Available", "False", "x"), verdict.Rejected, "EmptyModel", "correct it with `dynctl set`"},
		{"a remedy names the server", statusWith("Registered", "Unknown", "EtcdUnreachable", "Ready", "Unknown", "x", "Available", "True", "OK"), verdict.Degraded, "EtcdUnreachable",
			"see `dynctl status server/default` and `dynctl logs server/default`; what serves goes on"},
		{"no room", statusWith("Scheduled", "False", "WaitingForNodes", "Available", "False", "x"), verdict.Waiting, "WaitingForNodes", "starts by itself when nodes join the Ray cluster"},
		{"its processes exit", failing, verdict.Failing, "CrashLoopBackOff", "executed again in 30s"},
		{"nothing is known", statusWith("Available", "Unknown", "AgentLost"), verdict.Unknown, "AgentLost", "see `dynctl doctor`: the agent's Ray job does not answer"},
		{"on the way", statusWith("WorkersReady", "False", "WorkersStarting", "Available", "False", "x"), verdict.Starting, "WorkersStarting", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := judge(row.status, now)
			reason := ""
			if v.Blocking != nil {
				reason = v.Blocking.Reason
			}
			if v.Word != row.word || reason != row.reason || v.next != row.next {
				t.Errorf("got %s, %s, %q; want %s, %s, %q", v.Word, reason, v.next, row.word, row.reason, row.next)
			}
		})
	}
}

// TestDocumentKeepsOrder: an edit changes one field and nothing else.
func TestDocumentKeepsOrder(t *testing.T) {
	d, err := newDocument([]byte(`{"z": 1.0, "spec": {"b": 1e22, "a": "<&>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.set(2, "spec", "decode", "replicas"); err != nil {
		t.Fatal(err)
	}
	const want = `{"z":1.0,"spec":{"b":1e22,"a":"<&>","decode":{"replicas":2}}}`
	if got := string(d.bytes()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := d.set(2, "z", "x"); err == nil {
		t.Error("a field below a number was set")
	}
}
