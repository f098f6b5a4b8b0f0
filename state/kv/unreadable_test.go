package kv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// garbage is what may stand under any key of any bucket, by name.
var garbage = map[string]string{
	"text":          "garbage",
	"nothing":       "",
	"null":          "null",
	"a list":        "[]",
	"cut off":       `{"server":`,
	"no UTF-8":      "{\"key\":\"\xff\xfe\"}",
	"deep":          strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	"wrong types":   `{"incarnation":"x","observedRevision":[],"id":7,"actors":{},"conditions":"y"}`,
	"beyond 2^64":   `{"incarnation":1e99,"observedRevision":1e99,"epoch":1e99,"id":1}`,
	"negative":      `{"incarnation":-1,"observedRevision":-1,"epoch":-1,"id":1}`,
	"not a number":  `{"incarnation":NaN,"observedRevision":NaN,"id":NaN}`,
	"another's key": `{"key":"model.default.other","server":"default","unit":"other","state":"Running","id":"other","incarnation":99999999}`,
	"huge":          `{"server":7,"incarnation":"` + strings.Repeat("x", 2<<20) + `","observedRevision":"x","id":"y"}`,
}

func putRaw(t *testing.T, js jetstream.JetStream, bucket, key, value string) uint64 {
	t.Helper()
	return must(must(js.KeyValue(t.Context(), bucket))(t).Put(t.Context(), key, []byte(value)))(t)
}

func putJSON(t *testing.T, js jetstream.JetStream, bucket, key string, v any) uint64 {
	t.Helper()
	return putRaw(t, js, bucket, key, string(must(json.Marshal(v))(t)))
}

// hit are the keys that garbage is written to, after their buckets: one that was good
// before, and others.
var hit = []string{
	BucketStatus + " model.default.hit", BucketStatus + " model.default.new", BucketStatus + " zzz",
	BucketObserved + " unit.default.hit", BucketObserved + " unit.default.zzz", BucketObserved + " node.n1",
	BucketObserved + " node.x", BucketObserved + " later.thing", BucketSpecs + " confirm.default", BucketSpecs + " zzz",
}

// Whatever stands under one key, the views show all others, are synced, and name it;
// also when they are loaded over it. What stood there before stays in force.
func TestOneUnreadableValueCostsItself(t *testing.T) {
	for name, value := range garbage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := newStore(t).ready()
			putGoodAndHit(t, js)
			w := watch(t, js)
			w.synced()
			w.until("all of it", func() bool { o := w.Observed(); return o.Synced && len(o.Units) == 2 && len(o.Nodes) == 1 })
			revisions := map[string]uint64{}
			for _, at := range hit {
				bucket, key, _ := strings.Cut(at, " ")
				revisions[key] = putRaw(t, js, bucket, key, value)
			}
			w.showsAllButHit(1, revisions)
			later := watch(t, js)
			later.synced()
			later.showsAllButHit(0, revisions)
			found := map[string]int{}
			for _, u := range w.FoundUnreadable() {
				found[u.Bucket+" "+u.Key]++
			}
			for _, at := range hit {
				if found[at] != 1 {
					t.Errorf("%s was found %d times", at, found[at])
				}
			}
			listsAllButHit(t, New(js))
		})
	}
}

// putGoodAndHit stores a status and a unit that stay good, one of each that garbage is
// to be written over, and a node for the same.
func putGoodAndHit(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	good := state.Status{Kind: state.KindModel, Server: "default", Name: "good", Generation: "1a2b3c4d"}
	must(New(js).PutStatus(t.Context(), good))(t)
	good.Name = "hit"
	must(New(js).PutStatus(t.Context(), good))(t)
	putJSON(t, js, BucketObserved, "agent", state.Agent{Incarnation: 7, Synced: true})
	for _, id := range []string{"good", "hit"} {
		putJSON(t, js, BucketObserved, "unit.default."+id, state.Unit{Incarnation: 7, Server: "default", Unit: id, State: state.UnitRunning})
	}
	putJSON(t, js, BucketObserved, "node.n1", state.Node{ID: "n1"})
}

// showsAllButHit wants the views to show what is good, and of what was hit what they
// had read before: held is 1 where they had, 0 where they were loaded over the garbage.
func (w *watched) showsAllButHit(held int, revisions map[string]uint64) {
	w.t.Helper()
	w.until("the garbage", func() bool { return len(w.Unreadable()) == len(hit) })
	statuses, synced := w.statuses()
	o := w.Observed()
	if !synced || !o.Synced || !w.Specs().Synced || statuses["model.default.good"].Generation != "1a2b3c4d" {
		w.t.Errorf("synced %v, %v; statuses %v", synced, o.Synced, statuses)
	}
	if len(o.Units) != 1+held || len(o.Nodes) != held || len(o.Unreadable) != 2-held {
		w.t.Errorf("units %v, nodes %v, unreadable %v", o.Units, o.Nodes, o.Unreadable)
	}
	if s, ok := statuses["model.default.hit"]; ok != (held > 0) || ok && (s.Revision != revisions["model.default.hit"] || !w.toRewrite(s.Key)) {
		w.t.Errorf("what stood there before: %v %+v", ok, s)
	}
}

// listsAllButHit wants the client to list what is good, and to name the rest.
func listsAllButHit(t *testing.T, c *Client) {
	t.Helper()
	if listed := must(c.Unreadable(t.Context()))(t); len(listed) != len(hit) {
		t.Errorf("listed: %v", listed)
	}
	if list, err := c.ListStatuses(t.Context()); len(list) != 1 || err == nil || !strings.Contains(err.Error(), "model.default.hit") {
		t.Errorf("statuses %v, %v", list, err)
	}
	if units, err := c.ListUnits(t.Context()); len(units) != 1 || err == nil {
		t.Errorf("units %v, %v", units, err)
	}
}

// What a value says may be well formed and still be impossible.
func TestImpossibleValues(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	unit := func(change string) string {
		base := map[string]any{"incarnation": 3, "server": "default", "unit": "a", "state": "Running", "sentAt": at, "actors": []any{map[string]any{"name": "x"}}}
		var over map[string]any
		if err := json.Unmarshal([]byte(change), &over); err != nil {
			t.Fatal(err)
		}
		for k, v := range over {
			base[k] = v
		}
		return string(must(json.Marshal(base))(t))
	}
	for _, row := range []struct{ key, value string }{
		{"unit.default.a", unit(`{"state":"Flying"}`)},
		{"unit.default.a", unit(`{"replica":-1}`)},
		{"unit.default.a", unit(`{"attempt":4000000000}`)},
		{"unit.default.a", unit(`{"generation":"../../x"}`)},
		{"unit.default.a", unit(`{"incarnation":4}`)},
		{"unit.default.a", unit(`{"incarnation":18446744073709551615}`)},
		{"unit.default.a", unit(`{"changedAt":"9999-01-01T00:00:00Z"}`)},
		{"unit.default.a", unit(`{"actors":[{"name":"x","state":"Exited","exit":{"at":"2999-01-01T00:00:00Z"}}]}`)},
		{"unit.default.a", unit(`{"actors":[{"name":"x"},{"name":"x"}]}`)},
		{"unit.default.a", unit(`{"actors":[{"name":"x","ports":{"etcd":70000}}]}`)},
		{"unit.default.a", unit(`{"placementGroup":{"bundles":[{"CPU":-1}]}}`)},
		{"unit.default.b", unit(`{}`)},
		{"node.n", `{"id":"n","gpus":-1}`},
		{"node.n", `{"id":"n","freeGpus":-0.5}`},
		{"node.n", `{"id":"m"}`},
		{"node.n", `{"id":"n","incarnation":99}`},
		{"agent", `{"incarnation":0}`},
		{"agent", fmt.Sprintf(`{"incarnation":%d}`, uint64(state.MaxCounter)+1)},
		{"agent", `{"incarnation":3,"epoch":18446744073709551615}`},
	} {
		entries := []entry{{key: row.key, value: []byte(row.value), at: at}}
		if row.key != keyAgent {
			entries = append(entries, entry{key: keyAgent, value: []byte(`{"incarnation":3,"synced":true}`), at: at})
		}
		if _, bad := observations(entries); len(bad) != 1 || bad[0].Key != row.key || bad[0].Why == "" {
			t.Errorf("%s %s: set aside %v", row.key, row.value, bad)
		}
	}
	if _, bad := observations([]entry{{key: keyAgent, value: []byte(`{"incarnation":3}`)}, {key: "unit.default.a", value: []byte(unit(`{}`)), at: at}}); len(bad) > 0 {
		t.Errorf("set aside %v", bad)
	}
	for _, value := range []string{
		`{"acceptedRevision":18446744073709551615}`, `{"observedRevision":9007199254740993}`, `{"kind":"Server"}`, `{"generation":"zz"}`,
		`{"conditions":[{"type":"Ready","status":"Maybe"}]}`, `{"conditions":[{"type":"Ready","status":"True"},{"type":"Ready","status":"False"}]}`,
		`{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"9999-01-01T00:00:00Z"}]}`, `{"roles":{"prefill":{"desired":-5}}}`,
	} {
		if s, err := parseStatus(entry{key: "model.default.m", value: []byte(value), at: at}); err == nil {
			t.Errorf("%s: %+v", value, s)
		}
	}
}

// The agent's key jumps: what it said before stands until it says something possible.
func TestAgentThatJumps(t *testing.T) {
	js := newStore(t).ready()
	putJSON(t, js, BucketObserved, "agent", state.Agent{Incarnation: 7, Epoch: 3, Synced: true})
	w := watch(t, js)
	w.until("the agent", func() bool { return w.Observed().Synced })
	for _, value := range []state.Agent{{Incarnation: 7 + state.MaxCounterStep + 1}, {Incarnation: 7, Epoch: 4 + state.MaxCounterStep}} {
		rev := putJSON(t, js, BucketObserved, "agent", value)
		w.until("the jump", func() bool { u := w.Unreadable(); return len(u) == 1 && u[0].Revision == rev })
		if o := w.Observed(); !o.Synced || o.Agent.Incarnation != 7 || o.Agent.Epoch != 3 {
			t.Errorf("observed %+v", o.Agent)
		}
	}
	putJSON(t, js, BucketObserved, "agent", state.Agent{Incarnation: 8, Epoch: 3, Synced: true})
	w.until("a later agent", func() bool { return w.Observed().Agent.Incarnation == 8 && len(w.Unreadable()) == 0 })
}

// A purge of the stream sends nothing to anybody, and the store id goes with it.
func TestPurgedSpecBucket(t *testing.T) {
	js := newStore(t).ready()
	c, ctx := New(js), t.Context()
	must(c.PutSpec(ctx, state.ServerKey("a"), []byte("1"), PutOptions{}))(t)
	w := watch(t, js)
	w.synced()
	id := w.StoreID()
	if err := must(js.Stream(ctx, streamName(BucketSpecs)))(t).Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if now := must(c.StoreID(ctx))(t); now != id {
		t.Errorf("store id %s, was %s", now, id)
	}
	w.until("the entry is missing", func() bool { e, ok := w.spec("server.a"); return ok && e.Missing && !e.Deleted })
	w.until("the store id again", func() bool {
		now, _, err := readStoreID(ctx, js, BucketSpecs)
		return err == nil && now == id
	})
}

// Whoever writes another id over the store's does not make another store of it.
func TestStoreIDIsKept(t *testing.T) {
	for name, value := range map[string]string{"garbage": "garbage", "another": strings.Repeat("0", 32)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := newStore(t).ready()
			ctx := t.Context()
			w := watch(t, js)
			w.synced()
			id := w.StoreID()
			putRaw(t, js, BucketSpecs, keyStoreID, value)
			w.until("the id is written again", func() bool {
				now, _, err := readStoreID(ctx, js, BucketSpecs)
				return err == nil && now == id && w.StoreID() == id
			})
			w.Close()
			putRaw(t, js, BucketSpecs, keyStoreID, value)
			putJSON(t, js, BucketObserved, "agent", state.Agent{Incarnation: 1, StoreID: id})
			if now := must(EnsureBuckets(ctx, js))(t); now != id {
				t.Errorf("after a restart the store is %s, was %s", now, id)
			}
		})
	}
}
