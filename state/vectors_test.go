package state

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one recorded output of Curator's Dynamo backend.
type vector struct {
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
	Want  struct {
		OK    json.RawMessage `json:"ok"`
		Error *struct {
			Kind string `json:"kind"`
		} `json:"error"`
	} `json:"want"`
}

func (v vector) kind() string {
	if v.Want.Error == nil {
		return ""
	}
	return v.Want.Error.Kind
}

func loadVectors(t *testing.T, file string) []vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	return out
}

func unmarshal[T any](t *testing.T, data []byte) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return out
}

// pairs are arguments as the vectors write them: a list of [key, value].
type pairs Args

func (p *pairs) UnmarshalJSON(data []byte) error {
	var list [][2]json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*p = pairs{}
	for _, x := range list {
		var key string
		if err := json.Unmarshal(x[0], &key); err != nil {
			return err
		}
		*p = append(*p, Arg{Key: key, Value: x[1]})
	}
	return nil
}

// curatorModel is the flat shape of a model in the vectors.
type curatorModel struct {
	Identifier string          `json:"model_identifier"`
	Name       string          `json:"model_name"`
	Mode       string          `json:"mode"`
	Replicas   json.RawMessage `json:"num_replicas"`
	Engine     pairs           `json:"engine_kwargs"`
	Prefill    *curatorRole    `json:"prefill"`
	Decode     *curatorRole    `json:"decode"`
}

type curatorRole struct {
	Replicas json.RawMessage `json:"num_replicas"`
	Engine   pairs           `json:"engine_kwargs"`
}

// document is the model as a Model document, so that a vector passes through the
// decoder as a user's file does.
func (c curatorModel) document() Args {
	spec := Args{{"model", quoted(c.Identifier)}, {"servedName", quoted(c.Name)}, {"mode", quoted(c.Mode)}}
	if c.Replicas != nil {
		spec = append(spec, Arg{"replicas", c.Replicas})
	}
	if c.Engine != nil {
		spec = append(spec, Arg{"engineArgs", marshalArgs(Args(c.Engine))})
	}
	for _, role := range []struct {
		name string
		role *curatorRole
	}{{"prefill", c.Prefill}, {"decode", c.Decode}} {
		if role.role != nil {
			spec = append(spec, Arg{role.name, marshalArgs(role.role.document())})
		}
	}
	return Args{
		{"apiVersion", quoted(APIVersion)}, {"kind", quoted(KindModel)},
		{"metadata", json.RawMessage(`{"name":"m"}`)}, {"spec", marshalArgs(spec)},
	}
}

func (r curatorRole) document() Args {
	var out Args
	if r.Replicas != nil {
		out = append(out, Arg{"replicas", r.Replicas})
	}
	if r.Engine != nil {
		out = append(out, Arg{"engineArgs", marshalArgs(Args(r.Engine))})
	}
	return out
}

func quoted(s string) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}

// reasonFor decodes and validates a document and returns the reason of its
// rejection, empty if it is accepted.
func reasonFor(t *testing.T, document Args) string {
	t.Helper()
	docs, err := Decode("vector", marshalArgs(document))
	if err != nil {
		return ReasonInvalidSpec
	}
	var found []*Invalid
	if s := docs[0].Object.Server; s != nil {
		found = ValidateServer(s.WithDefaults())
	} else {
		found = ValidateModel(docs[0].Object.Model.WithDefaults(), DefaultedServer("default").Spec)
	}
	if len(found) == 0 {
		return ""
	}
	return found[0].Reason
}

func TestSlugVectors(t *testing.T) {
	for _, v := range loadVectors(t, "slug.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct {
				Name string `json:"model_name"`
			}](t, v.Input)
			want := ""
			if v.kind() == "" {
				want = unmarshal[string](t, v.Want.OK)
			}
			if got := Slug(in.Name); got != want {
				t.Errorf("Slug(%q) = %q, want %q", in.Name, got, want)
			}
		})
	}
}

func TestRuntimeEnvVectors(t *testing.T) {
	for _, v := range loadVectors(t, "runtime_env_merge.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct{ Base, Override Args }](t, v.Input)
			got := string(marshalArgs(MergeRuntimeEnv(in.Base, in.Override)))
			if want := string(v.Want.OK); compact(t, got) != compact(t, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	return string(readJSON(t, text).json())
}

func readJSON(t interface{ Fatalf(string, ...any) }, text string) *node {
	found, ok := jsonChunks([]byte(text))
	if !ok || len(found) != 1 {
		t.Fatalf("not JSON: %s", text)
	}
	return found[0].parse(newSource("", []byte(text)), []byte(text)).root
}

func TestRoleConfigVectors(t *testing.T) {
	for _, v := range loadVectors(t, "role_config.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct {
				Model curatorModel
				Role  string
			}](t, v.Input)
			doc := in.Model.document()
			switch v.kind() {
			case "not_disagg": // ours asks for the roles that a mode has
				m := Model{Spec: ModelSpec{Mode: in.Model.Mode}}.WithDefaults()
				if m.Spec.Role(in.Role) != nil {
					t.Errorf("mode %q has a role %s", in.Model.Mode, in.Role)
				}
				return
			case "role_missing": // FIX: neither role given means one worker of each
				if reason := reasonFor(t, doc); reason != "" {
					t.Fatalf("rejected with %s", reason)
				}
				docs, _ := Decode("vector", marshalArgs(doc))
				if n := docs[0].Object.Model.WithDefaults().Spec.RoleReplicas(in.Role); n != 1 {
					t.Errorf("%d replicas, want 1", n)
				}
				return
			}
			docs, err := Decode("vector", marshalArgs(doc))
			if err != nil {
				t.Fatal(err)
			}
			spec := docs[0].Object.Model.WithDefaults().Spec
			want := unmarshal[struct {
				Replicas int   `json:"num_replicas"`
				Engine   pairs `json:"engine_kwargs"`
			}](t, v.Want.OK)
			if got := spec.RoleReplicas(in.Role); got != want.Replicas {
				t.Errorf("%d replicas, want %d", got, want.Replicas)
			}
			got, wantArgs := string(marshalArgs(spec.RoleArgs(in.Role))), string(marshalArgs(Args(want.Engine).Present())) // FIX: null leaves a key out
			if diff := cmp.Diff(compact(t, wantArgs), compact(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// configReasons maps the error kinds of the vectors to our reasons.
var configReasons = map[string]string{
	"":                       "",
	"num_replicas":           ReasonNegativeCount,
	"type":                   ReasonInvalidSpec,
	"unknown_field":          ReasonInvalidSpec,
	"kv_events_needs_kv":     ReasonKVEventsWithoutKV,
	"reserved_router_kwargs": ReasonReservedRouterArgs,
	"roles_without_disagg":   ReasonRolesWithoutDisagg,
	"half_disagg":            ReasonHalfDisagg,
	"disagg_zero_role":       ReasonEmptyRole,
}

// Where ours differs from the recorded outcome, by the name of the vector, and why.
var configDiffers = map[string]struct{ reason, why string }{
	"role_replicas_odd_-0.5":  {ReasonInvalidSpec, "a count is a whole number, checked when it is read"},
	"model_replicas_odd_None": {"", "null is the default, as in the spec of section 1"},
	"router_kwargs_6":         {ReasonReservedRouterArgs, "either spelling is reserved"},
	"router_KV_True":          {ReasonUnknownRouterMode, "an unknown router mode is rejected"},
	"router_bogus_True":       {ReasonUnknownRouterMode, "an unknown router mode is rejected"},
	"router__True":            {"", "an empty mode is the default, auto"},
	"router_kwargs_kv_3":      {ReasonReservedRouterArgs, ""},
	"model_kv_events_ctor":    {"", "NEW: kvEventsConfig is a field of the spec"},
	"model_kv_transfer_ctor":  {"", "NEW: kvTransferConfig is a field of the spec"},
}

func TestConfigValidateVectors(t *testing.T) {
	for _, v := range loadVectors(t, "config_validate.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct {
				Type   string
				Fields json.RawMessage
			}](t, v.Input)
			doc, ok := configDocument(t, in.Type, in.Fields)
			if !ok {
				return // a check of Curator's Python types, which no document can break
			}
			want, known := configReasons[v.kind()]
			if differs, has := configDiffers[v.Name]; has {
				want, known = differs.reason, true
			} else if strings.HasPrefix(v.Name, "model_foo_") {
				want = ReasonUnknownMode // an unknown mode is rejected
			}
			if !known {
				t.Fatalf("no reason is mapped to the kind %q", v.kind())
			}
			if got := reasonFor(t, doc); got != want {
				t.Errorf("got reason %q, want %q, for %s", got, want, marshalArgs(doc))
			}
		})
	}
}

func configDocument(t *testing.T, kind string, fields json.RawMessage) (Args, bool) {
	t.Helper()
	extra := func(doc Args, prefix string) Args {
		var spec Args
		value, _ := doc.Get("spec")
		spec = unmarshal[Args](t, value)
		for _, x := range unmarshal[Args](t, fields) {
			name, ok := strings.CutPrefix(x.Key, prefix)
			if !ok {
				continue
			}
			if mapped := map[string]string{
				"kv_events_config": "kvEventsConfig", "kv_transfer_config": "kvTransferConfig", "subprocess_env": "env",
			}[name]; mapped != "" {
				name = mapped
			}
			spec = spec.With(name, x.Value)
		}
		return doc.With("spec", marshalArgs(spec))
	}
	server := Args{
		{"apiVersion", quoted(APIVersion)}, {"kind", quoted(KindServer)},
		{"metadata", json.RawMessage(`{"name":"default"}`)}, {"spec", json.RawMessage(`{}`)},
	}
	switch kind {
	case "model":
		return extra(unmarshal[curatorModel](t, fields).document(), "ctor_"), true
	case "role":
		role := unmarshal[curatorRole](t, fields)
		m := curatorModel{Identifier: "m", Mode: ModeDisagg, Prefill: &role, Decode: &curatorRole{}}
		return m.document(), true
	case "router":
		r := unmarshal[struct {
			Mode     *string `json:"mode"`
			KVEvents *bool   `json:"kv_events"`
			Args     pairs   `json:"router_kwargs"`
		}](t, fields)
		router := Args{{"args", marshalArgs(Args(r.Args))}}
		if r.Mode != nil {
			router = append(router, Arg{"mode", quoted(*r.Mode)})
		}
		if r.KVEvents != nil {
			value, _ := json.Marshal(*r.KVEvents)
			router = append(router, Arg{"kvEvents", value})
		}
		return server.With("spec", marshalArgs(Args{{"router", marshalArgs(router)}})), true
	case "server":
		return extra(server, ""), true
	}
	return nil, false
}

func TestUniqueNameVectors(t *testing.T) {
	reasons := map[string]string{
		"": "", "duplicate_name": ReasonDuplicateServedName,
		"slug_collision": ReasonSlugConflict, "empty_slug": ReasonEmptySlug,
	}
	for _, v := range loadVectors(t, "unique_names.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct {
				Names []string `json:"model_names"`
			}](t, v.Input)
			got := ""
			var models []Model
			for i, name := range in.Names {
				m := Model{Metadata: Metadata{Name: strings.Repeat("m", i+1)}, Spec: ModelSpec{Model: name}}.WithDefaults()
				var f faults
				f.modelName(m.Spec)
				if invalid := ConflictModels(m, models); invalid != nil {
					f = append(f, invalid)
				}
				if len(f) > 0 && got == "" {
					got = f[0].Reason
				}
				models = append(models, m)
			}
			if want := reasons[v.kind()]; got != want {
				t.Errorf("got reason %q, want %q", got, want)
			}
		})
	}
}

func TestHybridCacheVectors(t *testing.T) {
	for _, v := range loadVectors(t, "kv_events.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unmarshal[struct {
				Engine pairs `json:"engine_kwargs"`
			}](t, v.Input)
			got := ModelSpec{EngineArgs: Args(in.Engine)}.HybridKVCache(RoleAggregated)
			if want := unmarshal[bool](t, v.Want.OK); got != want {
				t.Errorf("got %t, want %t for %s", got, want, v.Input)
			}
		})
	}
}
