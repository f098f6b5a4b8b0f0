package main

import (
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// TestLastExitWhereItExplains: how a process ended is told beside what came of it, and not
// beside what has nothing to do with it.
func TestLastExitWhereItExplains(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Minute)
	for _, row := range []struct {
		blocking, status, reason string
		backoff                  *time.Time
		told                     bool
	}{
		{state.CondWorkersReady, state.StatusFalse, "CrashLoopBackOff", &later, true},
		{state.CondUpToDate, state.StatusFalse, "RolledBack", nil, true},
		{state.CondScheduled, state.StatusFalse, "InsufficientGPUs", nil, false},
		{state.CondScheduled, state.StatusFalse, "InsufficientGPUs", &later, true},
		{state.CondRouterReady, state.StatusFalse, "FrontendUnreachable", nil, false},
		{state.CondWorkersReady, state.StatusUnknown, "AgentLost", nil, false},
		{state.CondAccepted, state.StatusFalse, "InvalidSpec", nil, false},
	} {
		exit := &state.ExitStatus{Unit: "1a2b3c4d_m_DP0", Code: 1, Reason: "Exited", At: now.Add(-time.Hour)}
		s := state.Status{Kind: state.KindModel, Server: "default", Name: "m",
			Conditions: []state.Condition{{Type: row.blocking, Status: row.status, Reason: row.reason, LastTransitionTime: now}},
			Roles:      map[string]state.RoleStatus{"": {Desired: 1, LastExit: exit, BackoffUntil: row.backoff}}}
		v := overview{now: now}
		text := strings.Join(v.reasonLines(&s, judge(&s, now), palette{}, 100), "\n")
		if told := strings.Contains(text, "last exit: "); told != row.told {
			t.Errorf("%s=%s %s, backoff %v: told %v, want %v:\n%s", row.blocking, row.status, row.reason, row.backoff, told, row.told, text)
		}
	}
}

// TestWhyNoAgentStaysIsSaidOnce: it heads the screen, so what has that cause names it alone.
func TestWhyNoAgentStaysIsSaidOnce(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	f := state.AgentFailure{Message: "the agent's job ended (FAILED)", Way: "mend it"}
	s := state.Status{Kind: state.KindModel, Server: "default", Name: "m", Conditions: []state.Condition{
		{Type: state.CondScheduled, Status: state.StatusUnknown, Reason: actors.WaitAgentFailing, Message: f.String() + " (etcd is away)", LastTransitionTime: now.Add(-time.Minute)},
	}}
	v := overview{now: now, failure: actors.FailureText(f)}
	text := strings.Join(v.reasonLines(&s, judge(&s, now), palette{}, 100), "\n")
	if want := "      why: AgentFailing, as above (etcd is away) (for 60s)"; text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
}
