package render

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"

	"github.com/google/go-cmp/cmp"
)

func ptr[T any](v T) *T { return &v }

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// inBundles is a worker split over equal bundles.
func inBundles(n actors.Needs, bundles int) place.Shape {
	strategy := place.StrictPack
	if bundles > 1 {
		strategy = place.StrictSpread
	}
	return place.Shape{Bundles: slices.Repeat([]state.BundleShape{{CPU: n.CPUs, GPU: n.GPUs / bundles}}, bundles), Strategy: strategy}
}

func args(t *testing.T, text string) state.Args {
	t.Helper()
	var a state.Args
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// modelInputs are a model of each mode, with something in every field.
func modelInputs(t *testing.T) map[string]ModelInput {
	t.Helper()
	server := state.Server{
		Metadata: state.Metadata{Name: "default"},
		Spec: state.ServerSpec{
			Env:        state.Env{"A": {Value: "1"}, "B": {FromEnv: "OTHER"}},
			RuntimeEnv: args(t, `{"env_vars": {"X": "1"}}`),
		},
	}.WithDefaults()
	inputs := map[string]ModelInput{}
	for _, mode := range []string{state.ModeAggregated, state.ModeDisagg} {
		m := state.Model{
			Metadata: state.Metadata{Name: "m"},
			Spec: state.ModelSpec{
				Model: "org/M", Mode: mode,
				EngineArgs: args(t, `{"tensor_parallel_size": 2, "max_model_len": 512}`),
				DynamoArgs: args(t, `{"dyn_tool_call_parser": "hermes"}`),
				Env:        state.Env{"C": {FromFile: "/secret"}},
				Placement:  state.PlacementSpec{NodeSelector: map[string]string{"zone": "a", "rack": "1"}},
			},
		}.WithDefaults()
		inputs[mode] = ModelInput{Server: "default", ServerSpec: server.Spec, Model: "m", Spec: m.Spec}
	}
	return inputs
}

func render(t *testing.T, in ModelInput) actors.ModelTemplate {
	t.Helper()
	template, invalid := Model(in)
	if invalid != nil {
		t.Fatal(invalid)
	}
	return template
}

// copied shares nothing with in.
func copied(in ModelInput) ModelInput {
	in.Spec = state.Model{Spec: in.Spec}.Clone().Spec
	in.ServerSpec = state.Server{Spec: in.ServerSpec}.Clone().Spec
	return in
}

type edit struct {
	name string
	edit func(*ModelInput)
}

func TestGenerationLeavesOut(t *testing.T) {
	both := []edit{
		{"model's name", func(in *ModelInput) { in.Model = "other" }},
		{"server's name", func(in *ModelInput) { in.Server = "other" }},
		{"revisions", func(in *ModelInput) { in.Revision, in.ServerRevision = 7, 8 }},
		{"namespace", func(in *ModelInput) { in.ServerSpec.DynamoNamespace = "prod" }},
		{"etcd's address", func(in *ModelInput) { in.ServerSpec.Etcd.Endpoint = "http://e:1" }},
		{"NATS's address", func(in *ModelInput) { in.ServerSpec.NATS.URL = "nats://n:1" }},
		{"frontend port and args", func(in *ModelInput) {
			in.ServerSpec.Frontend = state.FrontendSpec{Port: 9000, Args: state.Args{{Key: "x", Value: json.RawMessage("1")}}}
		}},
		{"router args", func(in *ModelInput) {
			in.ServerSpec.Router.Args = state.Args{{Key: "router_temperature", Value: json.RawMessage("1")}}
		}},
		{"healing", func(in *ModelInput) { in.ServerSpec.Healing.Backoff.Multiplier = 9 }},
		{"priority", func(in *ModelInput) { in.Spec.Priority = 9 }},
		{"update", func(in *ModelInput) { in.Spec.Update = state.UpdateSpec{MaxSurge: ptr(3)} }},
		{"timeouts", func(in *ModelInput) { in.Spec.StartupTimeout, in.Spec.TerminationGracePeriod = 1, 2 }},
		{"restart", func(in *ModelInput) { in.Spec.Restart = "again" }},
		{"suspend", func(in *ModelInput) { in.Spec.Suspend = true }},
		{"excludeHeadNode spelt out", func(in *ModelInput) { in.Spec.Placement.ExcludeHeadNode = ptr(false) }},
		{"served name spelt out", func(in *ModelInput) { in.Spec.ServedName = in.Spec.Model }},
		{"GPUs spelt out", func(in *ModelInput) { in.Spec.Resources.GPUs = ptr(2) }},
		{"waitForNodes", func(in *ModelInput) { in.ServerSpec.Placement.WaitForNodes = state.True }},
	}
	byMode := map[string][]edit{
		state.ModeAggregated: {
			{"replicas", func(in *ModelInput) { in.Spec.Replicas = ptr(5) }},
			{"router.apply", func(in *ModelInput) { in.ServerSpec.Router.Apply = state.ApplyFrontend }},
			{"server's mode, without events", func(in *ModelInput) { in.ServerSpec.Router.Mode = state.RouterRandom }},
		},
		state.ModeDisagg: {
			{"replicas", func(in *ModelInput) { in.Spec.Prefill.Replicas = ptr(5) }},
		},
	}
	for mode, in := range modelInputs(t) {
		want := render(t, in).Generation
		for _, e := range append(both, byMode[mode]...) {
			t.Run(mode+"/"+e.name, func(t *testing.T) {
				edited := copied(in)
				e.edit(&edited)
				if got := render(t, edited).Generation; got != want {
					t.Errorf("the generation changed from %s to %s", want, got)
				}
			})
		}
	}
}

func TestGenerationCovers(t *testing.T) {
	with := func(a state.Args, key, value string) state.Args { return a.Clone().With(key, json.RawMessage(value)) }
	both := []edit{
		{"model", func(in *ModelInput) { in.Spec.Model = "org/N" }},
		{"served name", func(in *ModelInput) { in.Spec.ServedName = "n" }},
		{"engine", func(in *ModelInput) { in.Spec.Engine = state.EngineSGLang }},
		{"mode", func(in *ModelInput) {
			m := state.Model{Spec: state.ModelSpec{Model: in.Spec.Model, EngineArgs: in.Spec.EngineArgs, Mode: state.ModeDisagg}}
			if in.Spec.Mode == state.ModeDisagg {
				m.Spec.Mode = state.ModeAggregated
			}
			in.Spec = m.WithDefaults().Spec
		}},
		{"engine argument", func(in *ModelInput) { in.Spec.EngineArgs = with(in.Spec.EngineArgs, "max_model_len", "513") }},
		{"number text", func(in *ModelInput) { in.Spec.EngineArgs = with(in.Spec.EngineArgs, "max_model_len", "512.0") }},
		{"order of engine arguments", func(in *ModelInput) {
			in.Spec.EngineArgs[0], in.Spec.EngineArgs[1] = in.Spec.EngineArgs[1], in.Spec.EngineArgs[0]
		}},
		{"dynamo argument", func(in *ModelInput) { in.Spec.DynamoArgs = with(in.Spec.DynamoArgs, "x", "true") }},
		{"KV events config", func(in *ModelInput) { in.Spec.KVEventsConfig = with(nil, "buffer_steps", "1") }},
		{"model's env value", func(in *ModelInput) { in.Spec.Env["C"] = state.EnvValue{FromFile: "/other"} }},
		{"model's env name", func(in *ModelInput) { in.Spec.Env["D"] = state.EnvValue{} }},
		{"server's env", func(in *ModelInput) { in.ServerSpec.Env["A"] = state.EnvValue{Value: "2"} }},
		{"server's env from elsewhere", func(in *ModelInput) { in.ServerSpec.Env["B"] = state.EnvValue{FromEnv: "THIRD"} }},
		{"model's runtime env", func(in *ModelInput) { in.Spec.RuntimeEnv = with(nil, "pip", `["p"]`) }},
		{"server's runtime env", func(in *ModelInput) { in.ServerSpec.RuntimeEnv = with(nil, "pip", `["p"]`) }},
		{"GPUs", func(in *ModelInput) { in.Spec.Resources.GPUs = ptr(7) }},
		{"CPUs", func(in *ModelInput) { in.Spec.Resources.CPUs = ptr(7) }},
		{"node selector", func(in *ModelInput) { in.Spec.Placement.NodeSelector["zone"] = "b" }},
		{"model's excludeHeadNode", func(in *ModelInput) { in.Spec.Placement.ExcludeHeadNode = ptr(true) }},
		{"server's excludeHeadNode", func(in *ModelInput) { in.ServerSpec.Placement.ExcludeHeadNode = ptr(true) }},
		{"request plane", func(in *ModelInput) { in.ServerSpec.RequestPlane = state.PlaneTCP }},
		{"event plane", func(in *ModelInput) { in.ServerSpec.EventPlane = state.PlaneZMQ }},
		{"model's router mode", func(in *ModelInput) { in.Spec.Router.Mode = state.RouterRandom }},
	}
	byMode := map[string][]edit{
		state.ModeAggregated: {
			{"server's KV events", func(in *ModelInput) {
				in.ServerSpec.Router.Mode, in.ServerSpec.Router.KVEvents = state.RouterKV, state.True
			}},
		},
		state.ModeDisagg: {
			{"one role's argument", func(in *ModelInput) { in.Spec.Decode.EngineArgs = with(nil, "max_model_len", "1") }},
			{"KV transfer config", func(in *ModelInput) { in.Spec.KVTransferConfig = with(nil, "kv_connector", `"X"`) }},
			{"router.apply", func(in *ModelInput) { in.ServerSpec.Router.Apply = state.ApplyFrontend }},
		},
	}
	for mode, in := range modelInputs(t) {
		old := render(t, in).Generation
		for _, e := range append(both, byMode[mode]...) {
			t.Run(mode+"/"+e.name, func(t *testing.T) {
				edited := copied(in)
				e.edit(&edited)
				if render(t, edited).Generation == old {
					t.Error("the generation did not change")
				}
			})
		}
	}
}

func TestRenderIsPure(t *testing.T) {
	for mode, in := range modelInputs(t) {
		t.Run(mode, func(t *testing.T) {
			before := copied(in)
			first := render(t, in)
			for range 20 { // maps are walked in another order each time
				if diff := cmp.Diff(first, render(t, copied(in))); diff != "" {
					t.Fatal(diff)
				}
			}
			if diff := cmp.Diff(before, in); diff != "" {
				t.Errorf("the input was changed: %s", diff)
			}
			if !validGeneration(first.Generation) {
				t.Errorf("generation %q", first.Generation)
			}
			for _, r := range first.Roles {
				unitIsPure(t, first, r)
			}
		})
	}
}

func validGeneration(g string) bool {
	return len(g) == generationLength && strings.Trim(g, "0123456789abcdef") == ""
}

// unitIsPure checks that a template may be used again for the next unit.
func unitIsPure(t *testing.T, template actors.ModelTemplate, role actors.RoleTemplate) {
	t.Helper()
	before := jsonOf(t, template)
	in := WorkerInput{Role: role, Shape: inBundles(role.Needs, 1)}
	first := Worker(template, in)
	in.Index, in.Worker = 3, 4
	in.Shape = inBundles(role.Needs, 2)
	second := Worker(template, in)
	if jsonOf(t, template) != before {
		t.Error("the template was changed")
	}
	if first.Digest == second.Digest || first.Actors[0].Digest == second.Actors[0].Digest {
		t.Error("two units have one digest")
	}
	in.PlacementTimeout, in.StartupTimeout, in.TerminationGracePeriod = 1, 2, 3
	watched := Worker(template, in)
	if watched.Actors[0].Digest != second.Actors[0].Digest {
		t.Error("a timeout changes what is executed")
	}
	if text := jsonOf(t, second); strings.Contains(text, self+"/") {
		t.Errorf("a placeholder still names no unit: %s", text)
	}
}

func TestUnitWithoutShape(t *testing.T) {
	for _, engine := range []string{state.EngineVLLM, state.EngineSGLang, state.EngineTRTLLM, state.EngineMocker} {
		in := modelInputs(t)[state.ModeAggregated]
		in.Spec.Engine = engine
		template := render(t, in)
		if u := Worker(template, WorkerInput{Role: template.Roles[0]}); len(u.Actors) != 0 {
			t.Errorf("%s: %d actors on no bundle", engine, len(u.Actors))
		}
	}
}

// TestAFrontendWithACertificate is asked by https, however the certificate is named.
func TestAFrontendWithACertificate(t *testing.T) {
	args := func(key string) state.Args { return state.Args{{Key: key, Value: []byte(`"/run/secrets/tls.crt"`)}} }
	for name, c := range map[string]struct {
		edit func(*state.ServerSpec)
		want string
	}{
		"none":                 {func(*state.ServerSpec) {}, "http"},
		"frontend.args":        {func(s *state.ServerSpec) { s.Frontend.Args = args("tls-cert-path") }, "https"},
		"with underscores":     {func(s *state.ServerSpec) { s.Frontend.Args = args("tls_cert_path") }, "https"},
		"abbreviated":          {func(s *state.ServerSpec) { s.Frontend.Args = args("tls-cert") }, "https"},
		"router.args":          {func(s *state.ServerSpec) { s.Router.Args = args("tls-cert-path") }, "https"},
		"a variable":           {func(s *state.ServerSpec) { s.Env = state.Env{"DYN_TLS_CERT_PATH": {Value: "/c"}} }, "https"},
		"of the request plane": {func(s *state.ServerSpec) { s.Frontend.Args = args("tcp-tls-cert-path") }, "http"},
	} {
		in := ServerInput{Server: "s", Spec: state.DefaultedServer("s").Spec}
		c.edit(&in.Spec)
		template := Server(in)
		if got := template.FrontendScheme(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestInfraGeneration(t *testing.T) {
	base := func() ServerInput {
		return ServerInput{Server: "s", Spec: state.DefaultedServer("s").Spec}
	}
	generation := func(edit func(*ServerInput)) string {
		in := base()
		edit(&in)
		return Server(in).Generation
	}
	old := generation(func(*ServerInput) {})
	same := map[string]func(*ServerInput){
		"name":     func(in *ServerInput) { in.Server = "t" },
		"port":     func(in *ServerInput) { in.Spec.Frontend.Port = 9 },
		"planes":   func(in *ServerInput) { in.Spec.RequestPlane = state.PlaneTCP },
		"env":      func(in *ServerInput) { in.Spec.Env = state.Env{"A": {Value: "1"}} },
		"router":   func(in *ServerInput) { in.Router.Mode = state.RouterKV },
		"revision": func(in *ServerInput) { in.Revision = 3 },
	}
	for name, edit := range same {
		if got := generation(edit); got != old {
			t.Errorf("%s: the generation changed", name)
		}
	}
	other := map[string]func(*ServerInput){
		"namespace":       func(in *ServerInput) { in.Spec.DynamoNamespace = "x" },
		"etcd":            func(in *ServerInput) { in.Spec.Etcd.Endpoint = "http://e:1" },
		"NATS":            func(in *ServerInput) { in.Spec.NATS.URL = "nats://n:1" },
		"excludeHeadNode": func(in *ServerInput) { in.Spec.Placement.ExcludeHeadNode = ptr(true) },
	}
	for name, edit := range other {
		if got := generation(edit); got == old {
			t.Errorf("%s: the generation did not change", name)
		}
	}
	moved := generation(func(in *ServerInput) { in.Spec.Etcd.Endpoint = "http://e:2" })
	if moved == generation(other["etcd"]) {
		t.Error("another external etcd has the same generation")
	}
}
