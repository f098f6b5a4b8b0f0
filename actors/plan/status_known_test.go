package plan_test

import (
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// What cannot be asked is told as unknown and as it was known last, never as none.
func TestWhatIsNotKnownIsToldAsItWasLast(t *testing.T) {
	etcdAway := func(in *actors.Input) { in.Registered["default"] = state.Registrations{Err: "etcd does not answer"} }
	frontendAway := func(in *actors.Input) {
		in.Frontends["default"] = state.FrontendView{Err: "the frontend does not answer"}
	}
	agentSilent := func(in *actors.Input) {
		agent := *in.Observed.Agent
		agent.At = in.Now.Add(-10 * time.Second)
		in.Observed.Agent = &agent
	}
	for _, row := range []struct {
		name                     string
		first, edit              func(*actors.Input)
		ready                    int
		last                     bool
		registered, isIt, answer string // the conditions Registered, Ready and Available
	}{
		{name: "all answer", edit: func(*actors.Input) {}, ready: 2, registered: "True", isIt: "True", answer: "True"},
		{name: "etcd is away", edit: etcdAway, ready: 2, last: true, registered: "Unknown", isIt: "Unknown", answer: "True"},
		{name: "the frontend is away", edit: frontendAway, ready: 2, last: true, registered: "True", isIt: "False", answer: "False"},
		{name: "the agent is silent", edit: agentSilent, ready: 2, last: true, registered: "True", isIt: "Unknown", answer: "True"},
		{name: "the agent reads the cluster", edit: func(in *actors.Input) { in.Observed.Synced, in.Observed.Units = false, nil }, ready: 2, last: true,
			registered: "Unknown", isIt: "Unknown", answer: "True"},
		{name: "a worker ends while etcd is away", edit: func(in *actors.Input) {
			etcdAway(in)
			exit(in, "a")
		}, ready: 1, last: true, registered: "Unknown", isIt: "False", answer: "True"},
		{name: "nothing runs, so nothing is ready", edit: func(in *actors.Input) {
			etcdAway(in)
			exit(in, "a")
			exit(in, "a")
		}, registered: "Unknown", isIt: "False", answer: "True"},
	} {
		w := newCluster(node("1", 8))
		key := w.put(model("a", "  replicas: 2\n"))
		w.run(8)
		ready(t, w, key)
		in, _ := w.input()
		row.edit(&in)
		var st *state.Status
		for _, x := range plan.Plan(in).Statuses {
			if x.Kind == state.KindModel {
				st = x
			}
		}
		counts := st.Roles["aggregated"]
		said := func(typ string) string { c, _ := st.Condition(typ); return c.Status }
		if counts.Ready != row.ready || counts.LastKnown != row.last {
			t.Errorf("%s: %d ready, as last known %t; want %d, %t", row.name, counts.Ready, counts.LastKnown, row.ready, row.last)
		}
		if said(state.CondRegistered) != row.registered || said(state.CondReady) != row.isIt || said(state.CondAvailable) != row.answer {
			t.Errorf("%s: Registered %s, Ready %s, Available %s; want %s, %s, %s", row.name,
				said(state.CondRegistered), said(state.CondReady), said(state.CondAvailable), row.registered, row.isIt, row.answer)
		}
	}
}

// exit ends one process of a model that runs.
func exit(in *actors.Input, model string) {
	for i, u := range in.Observed.Units {
		if u.Model != model || u.State != state.UnitRunning {
			continue
		}
		ended := *u
		ended.State = state.UnitExited
		ended.Actors = append([]state.Actor(nil), u.Actors...)
		ended.Actors[0].State, ended.Actors[0].Failures = state.UnitExited, 1
		ended.Actors[0].Exit = &state.Exit{Attempt: 1, Code: 1, Reason: actors.ExitExited, At: in.Now}
		in.Observed.Units = append([]*state.Unit(nil), in.Observed.Units...)
		in.Observed.Units[i] = &ended
		return
	}
}
