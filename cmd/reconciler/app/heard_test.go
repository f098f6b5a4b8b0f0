package app

import (
	"sync/atomic"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// What was said of a model stands until its etcd and its frontend have been heard, or have
// failed, or have had their time; what else is known of it is said at once.
func TestAStatusWaitsForAFirstWord(t *testing.T) {
	const server = "s"
	answered := state.Registrations{Known: true}
	says := func(ready string, running int) state.Status {
		return state.Status{Server: server, Conditions: []state.Condition{{Type: state.CondAccepted, Status: state.StatusTrue}, {Type: state.CondReady, Status: ready}},
			Roles: map[string]state.RoleStatus{"aggregated": {Desired: 1, Running: running, Ready: running}}}
	}
	noted := func(s state.Status) state.Status { s.Template = []byte(`{"proven":true}`); return s }
	another := func(s state.Status) state.Status { s.Generation = "another"; return s }
	stands := says(state.StatusTrue, 1)
	for name, tc := range map[string]struct {
		etcd     state.Registrations
		frontend state.FrontendView
		after    time.Duration
		planned  state.Status
		waits    bool
	}{
		"neither is asked yet":        {planned: says(state.StatusUnknown, 1), waits: true},
		"neither has answered":        {etcd: state.Registrations{Pending: true, Err: "not yet"}, frontend: state.FrontendView{Pending: true, Err: "not yet"}, planned: says(state.StatusUnknown, 1), waits: true},
		"the frontend has not":        {etcd: answered, frontend: state.FrontendView{Pending: true, Err: "not yet"}, planned: says(state.StatusUnknown, 1), waits: true},
		"for long":                    {etcd: answered, after: hearFor, planned: says(state.StatusUnknown, 1)},
		"the frontend refuses":        {etcd: answered, frontend: state.FrontendView{Err: "connection refused"}, planned: says(state.StatusUnknown, 1)},
		"both have answered":          {etcd: answered, frontend: state.FrontendView{Known: true}, planned: says(state.StatusUnknown, 1)},
		"the worker has ended anyway": {planned: says(state.StatusUnknown, 0)},
		"nor is it noted that it was": {planned: noted(says(state.StatusUnknown, 1)), waits: true},
		"another one was accepted":    {planned: noted(another(says(state.StatusUnknown, 1)))},
	} {
		var h heard
		in := actors.Input{Now: time.Unix(100, 0), Desired: actors.Desired{Servers: []actors.DesiredServer{{Name: server}}}}
		h.listen(in)
		in.Now = in.Now.Add(tc.after)
		in.Registered, in.Frontends = map[string]state.Registrations{server: tc.etcd}, map[string]state.FrontendView{server: tc.frontend}
		if h.listen(in); h.waits(stands, tc.planned) != tc.waits {
			t.Errorf("%s: waits %t, want %t", name, !tc.waits, tc.waits)
		}
		in.Registered = nil // it is asked at another place by now
		if h.listen(in); !tc.waits && h.all[server] != !h.waits(stands, says(state.StatusUnknown, 1)) {
			t.Errorf("%s: who was heard is waited for again", name)
		}
	}
}

// facts hands each fact on, and has no other effect.
type facts struct {
	effects
	tell func(events.Event)
}

func (f facts) fact(e events.Event) { f.tell(e) }

// A store that was away kept the agent's heartbeats from everybody: a new term gives it the
// time to speak before it is told as silent, and tells all else at once.
func TestANewTermWaitsForTheAgent(t *testing.T) {
	now := time.Unix(100, 0)
	model := func(reason string, running int) state.Status {
		return state.Status{Server: "s", Conditions: []state.Condition{{Type: state.CondAccepted, Status: state.StatusTrue},
			{Type: state.CondReady, Status: state.StatusUnknown, Reason: reason}}, Roles: map[string]state.RoleStatus{"aggregated": {Running: running}}}
	}
	stands, silent := model(actors.CondOK, 1), model(actors.WaitAgentLost, 1)
	for name, tc := range map[string]struct {
		led, said time.Duration // ago
		reading   bool
		planned   state.Status
		told      bool // that the agent is silent
		waits     bool // the status
	}{
		"silent since before the term":     {led: time.Second, said: 9 * time.Second, planned: silent, waits: true},
		"and something else has changed":   {led: time.Second, said: 9 * time.Second, planned: model(actors.WaitAgentLost, 0)},
		"it has had the time to speak":     {led: 4 * time.Second, said: 9 * time.Second, planned: silent, told: true},
		"it falls silent in a long term":   {led: time.Hour, said: 4 * time.Second, planned: silent, told: true},
		"one that reads the cluster still": {led: time.Second, said: 9 * time.Second, reading: true, planned: silent, told: true},
	} {
		l := &loop{memory: memory{agent: agentTold{true, 1}, heard: heard{led: now.Add(-tc.led)}}}
		told := false
		l.effects = facts{tell: func(events.Event) { told = true }}
		in := actors.Input{Now: now, Policy: actors.DefaultPolicy(""), Observed: state.Observed{Agent: &state.Agent{Incarnation: 1, Synced: !tc.reading, At: now.Add(-tc.said)}}}
		l.tellAgent(kv.Term{}, in)
		if waits := l.heard.waitsForAgent(in, stands, tc.planned); told != tc.told || waits != tc.waits {
			t.Errorf("%s: told %t, the status waits %t; want %t, %t", name, told, waits, tc.told, tc.waits)
		}
	}
}

// A reconciler that starts beside a fleet commands nothing and says nothing anew.
func TestAStartBesideAFleetChangesNothing(t *testing.T) {
	const models = 40
	r := newRigOn(t, 6, startStore(t))
	r.declareAtOnce(models)
	r.allReady(models)
	var commands, statuses atomic.Int64
	r.countOn("dynctl.events.*.start.>", &commands)
	r.countOn("dynctl.events.*.stop.>", &commands)
	r.countOn("$KV."+kv.BucketStatus+".>", &statuses)
	for range 3 {
		last, since := int64(-1), 0.0
		r.poll("nothing is to be done, nor noted", func() bool {
			if now := statuses.Load(); now != last {
				last, since = now, r.roundsOf(roundQuiet)
			}
			return r.roundsOf(roundQuiet) >= since+2
		})
		r.stop()
		commands.Store(0)
		statuses.Store(0)
		r.start("http://127.0.0.1:1")
		r.poll("it leads and nothing is to be done", func() bool { return r.app.metrics.leadsNow() && r.roundsOf(roundQuiet) > 0 })
		if c, s := commands.Load(), statuses.Load(); c > 0 || s > 0 {
			t.Fatalf("%d commands and %d statuses, want none", c, s)
		}
	}
}
