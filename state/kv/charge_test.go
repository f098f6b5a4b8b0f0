package kv

import (
	"encoding/json"
	"testing"
	"time"

	"dynctl/state"
)

// step is what happens to the observed bucket, and whether its view may be acted
// on afterwards.
type step struct {
	key    string // "-agent": its delete marker; "": a load from another stream begins
	synced bool   // of the agent
	want   bool
}

func TestCharge(t *testing.T) {
	agent := func(synced, want bool) step { return step{"agent", synced, want} }
	other := step{"", false, false}
	for name, steps := range map[string][]step{
		"an agent before any doubt":           {agent(true, true), {"node.a", false, true}},
		"its bucket was recreated":            {agent(true, true), other, agent(true, false), agent(true, false)},
		"it rewrites everything":              {agent(true, true), other, agent(false, true), {"node.a", false, true}, agent(true, true)},
		"a heartbeat before the rest":         {agent(true, true), other, agent(true, false), {"unit.s.infra", false, false}, {"node.a", false, false}, agent(true, true)},
		"the beginning was missed":            {agent(true, true), other, {"node.a", false, false}, agent(true, true)},
		"its key was deleted, the rest stays": {{"node.a", false, true}, agent(true, true), {"-agent", false, false}, agent(true, true)},
		"a bucket without any agent":          {other, {"node.a", false, true}, agent(true, true)},
	} {
		t.Run(name, func(t *testing.T) {
			c := &charge{}
			c.begun(time.Unix(1, 0))
			for i, s := range steps {
				it := item[observation]{entry: entry{key: s.key}}
				switch s.key {
				case "":
					c.begun(time.Unix(int64(i+2), 0))
					continue
				case "agent":
					it.val.agent = &state.Agent{Incarnation: 3, Synced: s.synced}
				case "-agent":
					it.key, it.deleted = "agent", true
				}
				c.arrived(it)
				if got := c.believed(); got != s.want {
					t.Errorf("step %d, %+v: believed %v", i+1, s, got)
				}
			}
		})
	}
	t.Run("a later agent", func(t *testing.T) {
		c := &charge{}
		c.arrived(item[observation]{entry: entry{key: "agent"}, val: observation{agent: &state.Agent{Incarnation: 3, Synced: true}}})
		c.loaded(nil)
		if c.believed() {
			t.Error("believed though the agent's key is gone")
		}
		c.arrived(item[observation]{entry: entry{key: "agent"}, val: observation{agent: &state.Agent{Incarnation: 4, Synced: true}}})
		if !c.believed() {
			t.Error("a later agent is not believed")
		}
	})
}

// An agent that outlives its bucket beats on before it has written its units
// again: an empty bucket is not an empty cluster.
func TestARecreatedObservedBucketIsNotSynced(t *testing.T) {
	js := newStore(t).ready()
	ctx := t.Context()
	w := watch(t, js)
	write := func(key string, v any) {
		t.Helper()
		kv := must(js.KeyValue(ctx, BucketObserved))(t)
		must(kv.Put(ctx, key, must(json.Marshal(v))(t)))(t)
	}
	report := func(synced bool) { write("agent", state.Agent{Incarnation: 1, Synced: synced}) }
	unit := func() {
		write("unit.default.infra", state.Unit{Incarnation: 1, Server: "default", Unit: "infra", State: state.UnitRunning})
	}
	report(true)
	unit()
	w.until("its report", func() bool { o := w.Observed(); return o.Synced && len(o.Units) == 1 })

	lose := map[string]func(){
		"recreated": func() {
			if err := js.DeleteStream(ctx, streamName(BucketObserved)); err != nil {
				t.Fatal(err)
			}
			w.until("a new bucket", func() bool {
				_, err := js.KeyValue(ctx, BucketObserved)
				return err == nil && w.Observed().Agent == nil
			})
		},
		"without the agent's key": func() {
			if err := must(js.KeyValue(ctx, BucketObserved))(t).Delete(ctx, "agent"); err != nil {
				t.Fatal(err)
			}
			w.until("no agent", func() bool { return w.Observed().Agent == nil })
		},
	}
	for _, name := range []string{"recreated", "without the agent's key"} {
		lose[name]()
		for range 3 {
			report(true)
			arrived := must(js.Stream(ctx, streamName(BucketObserved)))(t).CachedInfo().State.LastSeq
			w.until("the heartbeat", func() bool {
				w.observed.mu.Lock()
				defer w.observed.mu.Unlock()
				return w.observed.seen >= arrived
			})
			if o := w.Observed(); o.Agent == nil || o.Synced {
				t.Fatalf("%s: %+v after a heartbeat alone, want what is not synced", name, o)
			}
		}
		report(false)
		unit()
		w.until("the units", func() bool { return len(w.Observed().Units) == 1 })
		if w.Observed().Synced {
			t.Errorf("%s: synced before the agent says so", name)
		}
		report(true)
		w.until("its report", func() bool { o := w.Observed(); return o.Synced && len(o.Units) == 1 })
	}
}
