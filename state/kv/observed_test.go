package kv

import (
	"encoding/json"
	"testing"
	"time"

	"dynctl/state"
)

func TestObserve(t *testing.T) {
	stored := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	agent := func(incarnation uint64, synced bool) entry {
		return jsonEntry(t, "agent", stored, state.Agent{Incarnation: incarnation, Synced: synced})
	}
	unit := func(incarnation uint64, id string) entry {
		return jsonEntry(t, "unit.default."+id, stored, state.Unit{Incarnation: incarnation, Server: "default", Unit: id, State: state.UnitRunning})
	}
	gone := func(e entry) entry { e.deleted, e.value = true, nil; return e }
	rows := []struct {
		name    string
		entries []entry
		loaded  bool
		synced  bool
		units   []string
		agent   bool
		problem bool // something is set aside
	}{
		{"nothing is not synced", nil, true, false, nil, false, false},
		{"agent and units", []entry{agent(2, true), unit(2, "b"), unit(2, "a")}, true, true, []string{"a", "b"}, true, false},
		{"not loaded", []entry{agent(2, true), unit(2, "a")}, false, false, []string{"a"}, true, false},
		{"agent has not rebuilt", []entry{agent(2, false), unit(2, "a")}, true, false, []string{"a"}, true, false},
		{"earlier incarnation is left out", []entry{agent(2, true), unit(2, "a"), unit(1, "old")}, true, true, []string{"a"}, true, false},
		{"later incarnation than the agent key", []entry{agent(2, true), unit(3, "new"), unit(2, "a")}, true, true, []string{"a"}, true, true},
		{"no agent", []entry{unit(2, "a")}, true, false, nil, false, false},
		{"agent deleted", []entry{gone(agent(2, true)), unit(2, "a")}, true, false, nil, false, false},
		{"unit deleted", []entry{agent(2, true), gone(unit(2, "a"))}, true, true, nil, true, false},
		{"unreadable unit", []entry{agent(2, true), {key: "unit.default.x", value: []byte("{")}}, true, true, nil, true, true},
		{"unit under another key", []entry{agent(2, true), func() entry { e := unit(2, "a"); e.key = "unit.default.b"; return e }()}, true, true, nil, true, true},
		{"unreadable agent", []entry{{key: "agent", value: []byte("[]")}, unit(2, "a")}, true, false, nil, false, true},
		{"unknown key", []entry{agent(2, true), {key: "later.thing", value: []byte("{")}}, true, true, nil, true, true},
		{"nodes", []entry{agent(2, true), {key: "node.x", value: []byte(`{"id":"x","incarnation":1}`)}}, true, true, nil, true, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			items, bad := observations(row.entries)
			o := observe(items, row.loaded)
			if o.Synced != row.synced || (o.Agent != nil) != row.agent || (len(bad) > 0) != row.problem {
				t.Errorf("synced %v, agent %v, set aside %v", o.Synced, o.Agent, bad)
			}
			var ids []string
			for _, u := range o.Units {
				ids = append(ids, u.Unit)
			}
			if len(ids) != len(row.units) {
				t.Fatalf("units %v, want %v", ids, row.units)
			}
			for i := range ids {
				if ids[i] != row.units[i] {
					t.Errorf("units %v, want %v", ids, row.units)
				}
			}
			if len(o.Nodes) > 0 {
				t.Errorf("nodes of an earlier incarnation: %v", o.Nodes)
			}
		})
	}
}

func TestTimesMoveToTheClockOfTheStore(t *testing.T) {
	sent := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	stored := sent.Add(90 * time.Second) // the agent's clock is behind
	at := func(s int) time.Time { return sent.Add(time.Duration(s) * time.Second) }
	e := jsonEntry(t, "unit.default.a", stored, state.Unit{
		Server: "default", Unit: "a", State: state.UnitRunning, SentAt: sent, ChangedAt: at(-1),
		Actors: []state.Actor{{Name: "x", StartedAt: at(-5), Exit: &state.Exit{At: at(-2)}}},
	})
	e.rev = 7
	o, err := parseObservation(e)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]struct{ got, want time.Time }{
		"sentAt":    {o.unit.SentAt, stored},
		"changedAt": {o.unit.ChangedAt, stored.Add(-time.Second)},
		"startedAt": {o.unit.Actors[0].StartedAt, stored.Add(-5 * time.Second)},
		"exit":      {o.unit.Actors[0].Exit.At, stored.Add(-2 * time.Second)},
		"readyAt":   {o.unit.Actors[0].ReadyAt, time.Time{}},
	} {
		if !got.got.Equal(got.want) {
			t.Errorf("%s is %s, want %s", name, got.got, got.want)
		}
	}
	if o.unit.Revision != 7 {
		t.Errorf("revision %d", o.unit.Revision)
	}
}

func TestObservedIsFollowed(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	kv := must(js.KeyValue(ctx, BucketObserved))(t)
	w := watch(t, js)
	write := func(key string, v any) {
		t.Helper()
		must(kv.Put(ctx, key, must(json.Marshal(v))(t)))(t)
	}
	write("agent", state.Agent{Incarnation: 1, Synced: true})
	write("unit.default.infra", state.Unit{Incarnation: 1, Server: "default", Unit: "infra", State: state.UnitRunning})
	write("node.n1", state.Node{ID: "n1", GPUs: 8})
	w.until("all of it", func() bool {
		o := w.Observed()
		return o.Synced && len(o.Units) == 1 && len(o.Nodes) == 1 && !o.Agent.At.IsZero()
	})
	write("agent", state.Agent{Incarnation: 2})
	w.until("a new agent that has reported nothing", func() bool { o := w.Observed(); return !o.Synced && len(o.Units) == 0 && o.Agent.Incarnation == 2 })
	write("unit.default.infra", state.Unit{Incarnation: 2, Server: "default", Unit: "infra", State: state.UnitRunning})
	write("agent", state.Agent{Incarnation: 2, Synced: true})
	w.until("its report", func() bool { o := w.Observed(); return o.Synced && len(o.Units) == 1 })

	if u := must(c.GetUnit(ctx, state.UnitKey{Server: "default", Unit: "infra"}))(t); u.Incarnation != 2 {
		t.Errorf("unit %+v", u)
	}
	rev := must(kv.Put(ctx, "unit.default.1a2b3c4d_m_DP0", must(json.Marshal(state.Unit{Incarnation: 2, Server: "default", Unit: "1a2b3c4d_m_DP0", State: state.UnitRunning}))(t)))(t)
	if err := kv.Delete(ctx, "unit.default.1a2b3c4d_m_DP0"); err != nil {
		t.Fatal(err)
	}
	w.until("the marker of a unit that is gone", func() bool {
		return w.Observed().Gone[state.UnitKey{Server: "default", Unit: "1a2b3c4d_m_DP0"}] > rev
	})

	if n := must(c.ListNodes(ctx))(t); len(n) != 1 || n[0].GPUs != 8 {
		t.Errorf("nodes %+v", n)
	}
	if a := must(c.GetAgent(ctx))(t); a.Incarnation != 2 || a.At.IsZero() {
		t.Errorf("agent %+v", a)
	}
	if err := js.DeleteStream(ctx, streamName(BucketObserved)); err != nil {
		t.Fatal(err)
	}
	w.until("nothing known of a new bucket", func() bool { o := w.Observed(); return !o.Synced && o.Agent == nil })
}

func jsonEntry(t *testing.T, key string, at time.Time, v any) entry {
	t.Helper()
	return entry{key: key, at: at, value: must(json.Marshal(v))(t)}
}
