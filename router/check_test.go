package router

import (
	"encoding/json"
	"strings"
	"testing"

	"dynctl/state"
)

func object(t *testing.T, text string) state.Args {
	t.Helper()
	var a state.Args
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// One row for each way in which what is said of KV events meets the routing.
func TestKVEventsThatNobodyReads(t *testing.T) {
	const on = `{"enable_kv_cache_events": true}`
	const hybrid = `{"disable_hybrid_kv_cache_manager": false}`
	auto, explicit, other := state.ServerRouter{}, state.ServerRouter{Mode: "kv"}, state.ServerRouter{Mode: "random"}
	kv := state.ModelRouter{Mode: "kv", KVEvents: state.True}
	for _, tt := range []struct {
		name         string
		server       state.ServerRouter
		mode         string
		own          state.ModelRouter
		events, args string
		reason, path string
	}{
		{name: "aggregated under auto", server: auto, events: on, reason: state.ReasonKVEventsUnread, path: "spec.kvEventsConfig.enable_kv_cache_events"},
		{name: "aggregated, kv without events", server: explicit, events: on, reason: state.ReasonKVEventsUnread, path: "spec.kvEventsConfig.enable_kv_cache_events"},
		{name: "aggregated, kv of its own without events", own: state.ModelRouter{Mode: "kv"}, events: on, reason: state.ReasonKVEventsUnread, path: "spec.kvEventsConfig.enable_kv_cache_events"},
		{name: "aggregated, kv with events", server: state.ServerRouter{Mode: "kv", KVEvents: state.True}, events: on},
		{name: "aggregated, kv of its own", own: kv, events: on},
		{name: "aggregated, a template that says false", server: auto, events: `{"enable_kv_cache_events": false}`},
		{name: "disagg under auto", server: auto, mode: state.ModeDisagg, events: on},
		{name: "disagg under auto, forbidden", server: state.ServerRouter{KVEvents: state.False}, mode: state.ModeDisagg, events: on, reason: state.ReasonKVEventsUnread, path: "spec.kvEventsConfig.enable_kv_cache_events"},
		{name: "disagg with another mode", server: other, mode: state.ModeDisagg, events: on, reason: state.ReasonKVEventsUnread, path: "spec.kvEventsConfig.enable_kv_cache_events"},
		{name: "hybrid under auto with events asked for", server: state.ServerRouter{KVEvents: state.True}, mode: state.ModeDisagg, args: hybrid, reason: state.ReasonHybridCacheConflict, path: "spec.engineArgs.disable_hybrid_kv_cache_manager"},
		{name: "hybrid under auto", server: auto, mode: state.ModeDisagg, args: hybrid},
		{name: "hybrid aggregated under auto with events asked for", server: state.ServerRouter{KVEvents: state.True}, args: hybrid},
		{name: "hybrid with a template that asks", server: auto, mode: state.ModeDisagg, args: hybrid, events: on, reason: state.ReasonHybridCacheConflict, path: "spec.engineArgs.disable_hybrid_kv_cache_manager"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := state.ModelSpec{Model: "m", Mode: tt.mode, Router: tt.own}
			if tt.events != "" {
				spec.KVEventsConfig = object(t, tt.events)
			}
			if tt.args != "" {
				spec.EngineArgs = object(t, tt.args)
			}
			m := Model{Name: "m", Spec: state.Model{Spec: spec}.WithDefaults().Spec}
			bad := Check(tt.server, m)
			if tt.reason == "" {
				if bad != nil {
					t.Errorf("got %v, want none", bad)
				}
				return
			}
			if bad == nil || bad.Reason != tt.reason || bad.Path != tt.path || !strings.Contains(bad.Message, "kvEvents") {
				t.Errorf("got %v, want %s at %s that names kvEvents", bad, tt.reason, tt.path)
			}
		})
	}
}

// A template of a role's own is found where it is written.
func TestKVEventsOfARoleThatNobodyReads(t *testing.T) {
	m := Model{Name: "m", Spec: state.Model{Spec: state.ModelSpec{Model: "m", Mode: state.ModeDisagg,
		Prefill: &state.RoleSpec{KVEventsConfig: object(t, `{"enable_kv_cache_events": true}`)}, Decode: &state.RoleSpec{}}}.WithDefaults().Spec}
	bad := Check(state.ServerRouter{Mode: "random"}, m)
	if bad == nil || bad.Path != "spec.prefill.kvEventsConfig.enable_kv_cache_events" {
		t.Errorf("got %v", bad)
	}
}

func TestExplicitKVEventsCountUnderAuto(t *testing.T) {
	disagg := Model{Name: "d", Spec: state.Model{Spec: state.ModelSpec{Model: "d", Mode: state.ModeDisagg}}.WithDefaults().Spec}
	for _, apply := range []string{state.ApplyModel, state.ApplyFrontend} {
		for _, events := range []state.Tristate{state.Auto, state.True, state.False} {
			r := state.ServerRouter{Mode: state.RouterAuto, KVEvents: events, Apply: apply}
			want := events != state.False
			d := ForFrontend(r, []Model{disagg})
			if apply == state.ApplyModel {
				d, _ = ForModel(r, disagg)
			}
			if d.Mode != state.RouterKV || d.KVEvents != want {
				t.Errorf("apply %s, kvEvents %s: %s with events %t, want kv with %t", apply, events, d.Mode, d.KVEvents, want)
			}
			if d := Resolve(r, []Model{disagg}); events.Explicit() && !strings.Contains(d.Because, "kvEvents: "+string(events)) {
				t.Errorf("kvEvents %s: %q does not say so", events, d.Because)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name         string
		server       state.ServerRouter
		mode, events string
		hybrid       bool
		want         []string
	}{
		{name: "a template that nothing reads", events: `{"buffer_steps": 1000}`, want: []string{"spec.kvEventsConfig"}},
		{name: "one that says what is so", events: `{"enable_kv_cache_events": false}`},
		{name: "one that is read", server: state.ServerRouter{Mode: "kv", KVEvents: state.True}, events: `{"buffer_steps": 1000}`},
		{name: "managed keys", server: state.ServerRouter{Mode: "kv", KVEvents: state.True}, events: `{"publisher": "null", "topic": "x", "endpoint": "tcp://*:5557"}`,
			want: []string{"spec.kvEventsConfig.publisher", "spec.kvEventsConfig.topic", "spec.kvEventsConfig.endpoint"}},
		{name: "managed keys as they are set", server: state.ServerRouter{Mode: "kv", KVEvents: state.True}, events: `{"publisher": "zmq", "topic": "kv\u002devents", "enable_kv_cache_events": true}`},
		{name: "prefill publishes all the same", mode: state.ModeDisagg, events: `{"enable_kv_cache_events": false}`, want: []string{"spec.kvEventsConfig.enable_kv_cache_events"}},
		{name: "hybrid", mode: state.ModeDisagg, hybrid: true, events: `{"buffer_steps": 1}`, want: []string{"spec.kvEventsConfig"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := state.ModelSpec{Model: "m", Mode: tt.mode, KVEventsConfig: object(t, tt.events)}
			if tt.hybrid {
				spec.EngineArgs = object(t, `{"disable_hybrid_kv_cache_manager": false}`)
			}
			m := Model{Name: "m", Spec: state.Model{Spec: spec}.WithDefaults().Spec}
			if bad := Check(tt.server, m); bad != nil {
				t.Fatal(bad)
			}
			var got []string
			for _, w := range Warn(tt.server, m) {
				got = append(got, w.Path)
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWarningsOfAServer(t *testing.T) {
	disagg := Model{Name: "d", Spec: state.ModelSpec{Mode: state.ModeDisagg}}
	asks := state.ServerRouter{Mode: state.RouterAuto, KVEvents: state.True}
	if len(WarnServer(asks, nil)) != 1 || len(WarnServer(asks, []Model{disagg})) != 0 ||
		len(WarnServer(state.ServerRouter{Mode: "kv", KVEvents: state.True}, nil)) != 0 {
		t.Error("KV events that are asked for under auto count once a model is disaggregated")
	}
}
