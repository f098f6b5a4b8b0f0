package verdict

import (
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// of makes a status of conditions: type, status, type, status.
func of(conditions ...string) state.Status {
	var s state.Status
	for i := 0; i < len(conditions); i += 2 {
		s.Conditions = append(s.Conditions, state.Condition{Type: conditions[i], Status: conditions[i+1], LastTransitionTime: now.Add(-time.Minute)})
	}
	return s
}

func TestJudge(t *testing.T) {
	soon, over := now.Add(time.Minute), now.Add(-time.Minute)
	failing := of(state.CondWorkersReady, "False", state.CondAvailable, "False")
	failing.Roles = map[string]state.RoleStatus{"decode": {BackoffUntil: &soon}, "prefill": {BackoffUntil: &over}}
	done := of(state.CondWorkersReady, "False", state.CondAvailable, "False")
	done.Roles = map[string]state.RoleStatus{"decode": {BackoffUntil: &over}}
	noAgent := of(state.CondScheduled, "False", state.CondAvailable, "False")
	noAgent.Conditions[0].Reason = actors.WaitAgentFailing
	lost := of(state.CondScheduled, "Unknown", state.CondReady, "Unknown", state.CondAvailable, "False")
	lost.Conditions[0].Reason = actors.WaitAgentLost
	for _, tc := range []struct {
		name     string
		status   state.Status
		word     string
		blocking string
	}{
		{"suspended wins over everything", of(state.CondSuspended, "True", state.CondAvailable, "True"), Suspended, state.CondSuspended},
		{"all that is wanted serves", of(state.CondReady, "True", state.CondAvailable, "True"), Serving, ""},
		{"a rollout serves and has a blocking condition", of(state.CondReady, "True", state.CondAvailable, "True", state.CondUpToDate, "False"), Serving, state.CondUpToDate},
		{"an older spec serves", of(state.CondAccepted, "False", state.CondReady, "False", state.CondAvailable, "True"), Stale, state.CondAccepted},
		{"some of it serves", of(state.CondWorkersReady, "False", state.CondReady, "False", state.CondAvailable, "True"), Degraded, state.CondWorkersReady},
		{"some of it serves for sure", of(state.CondRegistered, "Unknown", state.CondReady, "Unknown", state.CondAvailable, "True"), Degraded, state.CondRegistered},
		{"nobody sees what runs", lost, Unknown, state.CondScheduled},
		{"the only spec is rejected", of(state.CondAccepted, "False", state.CondAvailable, "False"), Rejected, state.CondAccepted},
		{"what is deleted is not on its way, while nothing of it serves", deletedModel("False"), Deleting, state.CondWorkersReady},
		{"nor degraded while some of it does", deletedModel("True"), Deleting, state.CondWorkersReady},
		{"no replica is asked for", zero("False"), Zero, state.CondWorkersReady},
		{"nor any more, while the last one serves", zero("True"), Degraded, state.CondWorkersReady},
		{"no room", of(state.CondAccepted, "True", state.CondScheduled, "False", state.CondAvailable, "False"), Waiting, state.CondScheduled},
		{"no agent stays", noAgent, Failing, state.CondScheduled},
		{"its processes exit", failing, Failing, state.CondWorkersReady},
		{"a backoff that is over", done, Starting, state.CondWorkersReady},
		{"nothing is known", of(state.CondAvailable, "Unknown"), Unknown, state.CondAvailable},
		{"no condition at all", of(), Unknown, ""},
		{"the first that is not True blocks, whatever the order", of(state.CondReady, "False", state.CondScheduled, "Unknown", state.CondAvailable, "False"), Starting, state.CondScheduled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := Judge(&tc.status, now)
			blocking := ""
			if v.Blocking != nil {
				blocking = v.Blocking.Type
			}
			if v.Word != tc.word || blocking != tc.blocking {
				t.Errorf("got %s, blocked by %q; want %s, %q", v.Word, blocking, tc.word, tc.blocking)
			}
		})
	}
	if v := Judge(&failing, now); !v.Until.Equal(soon) || !v.Since.Equal(now.Add(-time.Minute)) {
		t.Errorf("until %v, since %v", v.Until, v.Since)
	}
}

// What is served and not known to be whole is not told as known to be less.
func TestWhatIsNotKnownIsShownSo(t *testing.T) {
	for _, row := range []struct {
		name   string
		status state.Status
		shown  string
		unsure bool
	}{
		{"all serves", of(state.CondReady, "True", state.CondAvailable, "True"), "serving", false},
		{"etcd is away", of(state.CondRegistered, "Unknown", state.CondReady, "Unknown", state.CondAvailable, "True"), "serving?", true},
		{"a worker has ended", of(state.CondWorkersReady, "False", state.CondReady, "False", state.CondAvailable, "True"), "degraded", false},
		{"suspended while etcd is away", of(state.CondSuspended, "True", state.CondReady, "Unknown", state.CondAvailable, "True"), "suspended", true},
		{"nothing is known", of(state.CondReady, "Unknown", state.CondAvailable, "Unknown"), "unknown", false},
	} {
		v := Judge(&row.status, now)
		if v.Shown() != row.shown || v.Unsure != row.unsure || (v.Meanwhile() != "") != (row.shown == "serving?") {
			t.Errorf("%s: %q, unsure %t, %q", row.name, v.Shown(), v.Unsure, v.Meanwhile())
		}
	}
	for want, r := range map[string]state.RoleStatus{"2/3": {Ready: 2, Desired: 3}, "2?/3": {Ready: 2, Desired: 3, LastKnown: true}} {
		if got := Count(r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRef(t *testing.T) {
	for want, s := range map[string]state.Status{
		"server/default": {Kind: state.KindServer, Server: "default"},
		"model/m":        {Kind: state.KindModel, Server: "default", Name: "m"},
	} {
		if got := Ref(&s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// zero is the status of a model of which no replica is wanted.
func zero(available string) state.Status {
	s := deletedModel(available)
	s.Conditions[2].Reason = actors.CondScaledToZero
	return s
}

// deletedModel is the status of a model whose units are being stopped.
func deletedModel(available string) state.Status {
	s := of(state.CondAccepted, "True", state.CondWorkersReady, "False", state.CondReady, "False", state.CondAvailable, available)
	s.Conditions[2].Reason = actors.CondDeleting
	return s
}
