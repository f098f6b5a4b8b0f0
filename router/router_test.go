package router

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dynctl/state"
)

func server(mode string, events state.Tristate, apply string) state.ServerRouter {
	return state.ServerRouter{Mode: mode, KVEvents: events, Apply: apply}
}

func model(name, mode string, edit ...func(*state.ModelSpec)) Model {
	m := state.Model{Spec: state.ModelSpec{Model: name, Mode: mode}}
	m = m.WithDefaults()
	for _, e := range edit {
		e(&m.Spec)
	}
	return Model{Name: name, Spec: m.Spec}
}

func own(mode string, events state.Tristate) func(*state.ModelSpec) {
	return func(s *state.ModelSpec) { s.Router = state.ModelRouter{Mode: mode, KVEvents: events} }
}

func hybrid(s *state.ModelSpec) {
	s.EngineArgs = state.Args{{Key: "disable_hybrid_kv_cache_manager", Value: []byte("false")}}
}

func hybridPrefill(s *state.ModelSpec) {
	s.Prefill.EngineArgs = state.Args{{Key: "disable-hybrid-kv-cache-manager", Value: []byte("false")}}
}

var (
	autoModel    = server(state.RouterAuto, state.Auto, state.ApplyModel)
	autoFrontend = server(state.RouterAuto, state.Auto, state.ApplyFrontend)
	agg          = model("agg", state.ModeAggregated)
	dis          = model("dis", state.ModeDisagg)
)

func TestForModel(t *testing.T) {
	tests := []struct {
		name   string
		server state.ServerRouter
		model  Model
		mode   string
		events bool
		source string
		reason string
	}{
		{name: "auto, model: disagg carries kv with events from birth", server: autoModel, model: dis, mode: "kv", events: true, source: "auto"},
		{name: "auto, model: aggregated carries nothing", server: autoModel, model: agg, source: "auto"},
		{name: "auto, model: a hybrid prefill drops the events", server: autoModel, model: model("d", "disagg", hybridPrefill), mode: "kv", source: "auto"},
		{name: "auto, frontend: nothing on workers", server: autoFrontend, model: dis, source: "auto"},
		{name: "explicit: nothing on workers", server: server("kv", state.True, "model"), model: dis, source: "server"},
		{name: "own mode overrides auto", server: autoModel, model: model("d", "disagg", own("round_robin", state.Auto)), mode: "round-robin", source: "model"},
		{name: "own mode overrides an explicit one", server: server("random", state.Auto, "model"), model: model("a", "aggregated", own("kv", state.True)), mode: "kv", events: true, source: "model"},
		{name: "own explicit kv takes auto for false", server: autoModel, model: model("d", "disagg", own("kv", state.Auto)), mode: "kv", source: "model"},
		{name: "own kvEvents false under auto", server: autoModel, model: model("d", "disagg", own("inherit", state.False)), mode: "kv", source: "model"},
		{name: "own kvEvents true under the server's kv", server: server("kv", state.False, "model"), model: model("a", "aggregated", own("inherit", state.True)), mode: "kv", events: true, source: "model"},
		{name: "own kvEvents false without kv changes nothing", server: autoModel, model: model("a", "aggregated", own("inherit", state.False)), source: "auto"},
		{name: "own kvEvents true without kv", server: autoModel, model: model("a", "aggregated", own("inherit", state.True)), reason: state.ReasonKVEventsWithoutKV},
		{name: "own kvEvents true with another mode of its own", server: autoModel, model: model("a", "aggregated", own("direct", state.True)), reason: state.ReasonKVEventsWithoutKV},
		{name: "own kvEvents true under another mode of the server", server: server("random", state.Auto, "model"), model: model("d", "disagg", own("inherit", state.True)), reason: state.ReasonKVEventsWithoutKV},
		{name: "explicit events and a hybrid prefill", server: server("kv", state.True, "model"), model: model("d", "disagg", hybridPrefill), reason: state.ReasonHybridCacheConflict},
		{name: "explicit events and a hybrid aggregated model", server: server("kv", state.True, "model"), model: model("a", "aggregated", hybrid), reason: state.ReasonHybridCacheConflict},
		{name: "own explicit events and a hybrid cache", server: autoModel, model: model("d", "disagg", hybrid, own("kv", state.True)), reason: state.ReasonHybridCacheConflict},
		{name: "an own mode without events lifts the conflict", server: server("kv", state.True, "model"), model: model("a", "aggregated", hybrid, own("random", state.Auto)), mode: "random", source: "model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, invalid := ForModel(tt.server, tt.model)
			reason := ""
			if invalid != nil {
				reason = invalid.Reason
			}
			if reason != tt.reason {
				t.Fatalf("got %v, want reason %q", invalid, tt.reason)
			}
			if d.Mode != tt.mode || d.KVEvents != tt.events || d.Source != tt.source {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestConflictNamesThePlace(t *testing.T) {
	invalid := Check(server("kv", state.True, "model"), model("d", "disagg", hybridPrefill))
	if want := "spec.prefill.engineArgs.disable-hybrid-kv-cache-manager"; invalid.Path != want {
		t.Errorf("path %q, want %q", invalid.Path, want)
	}
	if !strings.Contains(invalid.Message, "its server's spec.router") {
		t.Errorf("the message does not name who asks: %s", invalid.Message)
	}
}

func TestForFrontend(t *testing.T) {
	tests := []struct {
		name   string
		server state.ServerRouter
		want   Decision
	}{
		{"auto, model: no flags", autoModel, Decision{Source: "auto"}},
		{"auto, frontend: the resolved answer", autoFrontend, Decision{Mode: "kv", KVEvents: true, Source: "auto", Models: []string{"dis"}}},
		{"explicit, model", server("least_loaded", state.Auto, "model"), Decision{Mode: "least-loaded", Source: "server"}},
		{"explicit, frontend", server("kv", state.True, "frontend"), Decision{Mode: "kv", KVEvents: true, Source: "server"}},
		{"explicit kv takes auto for false", server("kv", state.Auto, "model"), Decision{Mode: "kv", Source: "server"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ForFrontend(tt.server, []Model{agg, dis})
			if got.Because == "" {
				t.Error("it does not say why")
			}
			got.Because = ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPublishes(t *testing.T) {
	explicit := server("kv", state.True, "model")
	tests := []struct {
		name   string
		server state.ServerRouter
		model  Model
		role   string
		want   bool
	}{
		{"prefill always", server("random", state.Auto, "model"), dis, state.RolePrefill, true},
		{"prefill not with a hybrid cache", autoModel, model("d", "disagg", hybrid), state.RolePrefill, false},
		{"decode never", explicit, dis, state.RoleDecode, false},
		{"aggregated not under auto", autoModel, agg, state.RoleAggregated, false},
		{"aggregated not under auto on the frontend", autoFrontend, agg, state.RoleAggregated, false},
		{"aggregated under an explicit kv with events", explicit, agg, state.RoleAggregated, true},
		{"aggregated not under kv without events", server("kv", state.Auto, "model"), agg, state.RoleAggregated, false},
		{"aggregated by its own spec", autoModel, model("a", "aggregated", own("kv", state.True)), state.RoleAggregated, true},
		{"aggregated with another mode of its own", explicit, model("a", "aggregated", own("random", state.Auto)), state.RoleAggregated, false},
		{"aggregated with events off of its own", explicit, model("a", "aggregated", own("inherit", state.False)), state.RoleAggregated, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Publishes(tt.server, tt.model, tt.role); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestBecause(t *testing.T) {
	d2 := model("d2", "disagg", hybrid)
	many := []Model{dis, model("a", "disagg"), model("b", "disagg"), model("c", "disagg"), model("e", "disagg"), model("f", "disagg"), model("g", "disagg")}
	tests := []struct {
		name   string
		server state.ServerRouter
		models []Model
		want   string
	}{
		{"none", autoModel, []Model{agg}, "No model is disaggregated, so Dynamo's own round-robin is left as it is."},
		{"one", autoModel, []Model{agg, dis}, "dis is disaggregated, so requests are routed by KV cache, with KV events."},
		{"hybrid", autoModel, []Model{d2, dis}, "d2 and dis are disaggregated, so requests are routed by KV cache, without KV events because d2 runs the hybrid KV cache manager."},
		{"many", autoModel, many, "a, b, c, dis, e and 2 more are disaggregated, so requests are routed by KV cache, with KV events."},
		{"server", server("kv", state.Auto, "model"), nil, "The server's spec says kv without KV events."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Resolve(tt.server, tt.models).Because; got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func drawModel(t *rapid.T, label string) Model {
	m := model(rapid.StringMatching(`[a-z]{1,3}`).Draw(t, label), rapid.SampledFrom([]string{"aggregated", "disagg"}).Draw(t, label+" mode"),
		own(rapid.SampledFrom(append([]string{"inherit", "round_robin"}, state.RouterModes()...)).Draw(t, label+" router"),
			rapid.SampledFrom([]state.Tristate{state.Auto, state.True, state.False}).Draw(t, label+" events")))
	if rapid.Bool().Draw(t, label+" hybrid") {
		hybrid(&m.Spec)
	}
	return m
}

func drawServer(t *rapid.T) state.ServerRouter {
	return server(rapid.SampledFrom(append([]string{"auto", "least_loaded"}, state.RouterModes()...)).Draw(t, "mode"),
		rapid.SampledFrom([]state.Tristate{state.Auto, state.True, state.False}).Draw(t, "events"),
		rapid.SampledFrom([]string{"model", "frontend"}).Draw(t, "apply"))
}

// KV events are only ever on with mode kv, and every mode is in Dynamo's spelling.
func TestEventsOnlyWithKV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, m := drawServer(t), drawModel(t, "m")
		decisions := []Decision{Resolve(r, []Model{m}), ForFrontend(r, []Model{m})}
		if d, invalid := ForModel(r, m); invalid == nil {
			decisions = append(decisions, d)
		}
		for _, d := range decisions {
			if d.KVEvents && d.Mode != state.RouterKV {
				t.Fatalf("events without kv: %+v", d)
			}
			if d.Mode != "" && !slices.Contains(state.RouterModes(), d.Mode) {
				t.Fatalf("not a mode of Dynamo: %+v", d)
			}
			if d.Because == "" || d.Source == "" {
				t.Fatalf("no reason: %+v", d)
			}
		}
	})
}

// The order of the models changes nothing.
func TestResolveIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawServer(t)
		models := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Model { return drawModel(t, "m") }), 0, 5).Draw(t, "models")
		shuffled := rapid.Permutation(models).Draw(t, "shuffled")
		if diff := cmp.Diff(Resolve(r, models), Resolve(r, shuffled)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Under auto with apply: model the frontend's flags never depend on the models.
func TestFrontendIndependentOfModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, "m")
		if diff := cmp.Diff(ForFrontend(autoModel, nil), ForFrontend(autoModel, []Model{m})); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What does not bear on a server's routing may be left out of all that is resolved from its
// models, and of the warnings.
func TestWhatDoesNotBearMayBeLeftOut(t *testing.T) {
	left := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "") }
		events := func() state.Tristate {
			return rapid.SampledFrom([]state.Tristate{state.Auto, state.True, state.False}).Draw(t, "")
		}
		s := state.ServerSpec{Router: server(pick(state.RouterAuto, "kv", "round-robin", "random"), events(), pick(state.ApplyModel, state.ApplyFrontend))}
		s.Router.Args = state.Args{{Key: pick("router_temperature", "kv_overlap_score_weight", "active_decode_blocks_threshold"), Value: []byte("1")}}
		var all, bearing []Model
		for range rapid.IntRange(0, 6).Draw(t, "models") {
			m := model(pick("a", "b", "c"), pick(state.ModeAggregated, state.ModeAggregated, state.ModeDisagg), own(pick("", state.RouterInherit, "kv", "random"), events()))
			if m.Spec.Mode == state.ModeDisagg && pick("", "hybrid") != "" {
				hybridPrefill(&m.Spec)
			}
			all = append(all, m)
			if Bears(&m.Spec) {
				bearing = append(bearing, m)
			} else {
				left++
			}
		}
		for what, of := range map[string]func([]Model) any{
			"Resolve":        func(m []Model) any { return Resolve(s.Router, m) },
			"ForFrontend":    func(m []Model) any { return ForFrontend(s.Router, m) },
			"WarnServer":     func(m []Model) any { return WarnServer(s.Router, m) },
			"WarnServerArgs": func(m []Model) any { return WarnServerArgs(s, m) },
		} {
			if want, got := of(all), of(bearing); !reflect.DeepEqual(want, got) {
				t.Fatalf("%s: with all models %+v, without those that do not bear %+v", what, want, got)
			}
		}
	})
	if left == 0 {
		t.Error("nothing was left out")
	}
}
