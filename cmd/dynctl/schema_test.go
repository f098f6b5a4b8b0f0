package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	generator "github.com/invopop/jsonschema"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"dynctl/actors"
	"dynctl/state"
)

// published are the shapes that have a schema, by its name.
var published = map[string]any{
	"model":   state.Model{},
	"server":  state.Server{},
	"models":  []objectInfo{},
	"servers": []objectInfo{},
	"units":   []unitInfo{},
	"nodes":   []state.Node{},
	"status":  statusInfo{},
	"history": []revisionInfo{},
	"router":  []routerInfo{},
	"doctor":  []finding{},
	"plan":    planInfo{},
	"render":  actors.Rendered{},
	"version": versionInfo{},
	"event":   cloudEvent{},
}

// cloudEvent is the shape of one line of `dynctl events -o json`.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// special are the types whose JSON is not what reflection sees.
func special(t reflect.Type) *generator.Schema {
	switch t {
	case reflect.TypeFor[state.Args](), reflect.TypeFor[state.Env]():
		s := &generator.Schema{Type: "object"}
		if t == reflect.TypeFor[state.Env]() {
			s.AdditionalProperties = special(reflect.TypeFor[state.EnvValue]())
		}
		return s
	case reflect.TypeFor[state.EnvValue]():
		return &generator.Schema{OneOf: []*generator.Schema{
			{Type: "string"}, {Type: "number"}, {Type: "boolean"},
			{Type: "object", Description: "read from a file, or from the environment, where the process starts"},
		}}
	case reflect.TypeFor[state.Duration]():
		return &generator.Schema{Type: "string", Description: `such as "30s", "5m" or "1h30m"`}
	case reflect.TypeFor[state.Tristate]():
		return &generator.Schema{Enum: []any{"auto", true, false}}
	case reflect.TypeFor[json.RawMessage]():
		return &generator.Schema{}
	}
	return nil
}

// enums are the values that fields may have, by type and field.
var enums = map[string][]any{
	"Model.kind":              {state.KindModel},
	"Server.kind":             {state.KindServer},
	"Model.apiVersion":        {state.APIVersion},
	"Server.apiVersion":       {state.APIVersion},
	"ModelSpec.engine":        {"vllm", "sglang", "trtllm", "mocker"},
	"ModelSpec.mode":          {"aggregated", "disagg"},
	"ServerSpec.requestPlane": {"nats", "tcp"},
	"ServerSpec.eventPlane":   {"nats", "zmq"},
	"ServerRouter.apply":      {"model", "frontend"},
	"UpdateSpec.type":         {"RollingUpdate"},
}

// nullable are the fields that may be null, because nothing is known of them.
var nullable = map[string]bool{
	"objectInfo.document": true, "objectInfo.status": true, "statusInfo.agent": true,
	"RenderedGroup.bundleLabelSelector": true, "RenderedActor.runtimeEnv": true, "revisionInfo.document": true,
}

// linkPattern is a link of a doc comment.
var linkPattern = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

func generate(t *testing.T, name string, v any) []byte {
	t.Helper()
	r := &generator.Reflector{Mapper: special, Anonymous: true}
	for _, dir := range []string{"./state", "./actors", "./cmd/dynctl"} {
		if err := r.AddGoComments("dynctl", dir, generator.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	for key, text := range r.CommentMap {
		text = linkPattern.ReplaceAllString(strings.Join(strings.Fields(text), " "), "$1")
		r.CommentMap[strings.Replace(key, "dynctl/cmd/dynctl", "main", 1)] = text
		r.CommentMap[key] = text
	}
	s := r.Reflect(v)
	s.ID = generator.ID("urn:dynctl:schema:" + name)
	s.Title = "dynctl " + name
	for typ, def := range s.Definitions {
		for pair := def.Properties.Oldest(); pair != nil; pair = pair.Next() {
			field := typ + "." + pair.Key
			if e := enums[field]; e != nil {
				pair.Value.Enum = e
			}
			if nullable[field] {
				inner := *pair.Value
				*pair.Value = generator.Schema{Description: inner.Description}
				inner.Description = ""
				pair.Value.AnyOf = []*generator.Schema{&inner, {Type: "null"}}
			}
			if d, ok := defaults[name][field]; ok {
				pair.Value.Default = d
			}
		}
	}
	doc, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(doc, '\n')
}

// defaults are the defaults of the specs, by schema, type and field, taken from
// the code that fills them in.
var defaults = map[string]map[string]any{
	"model":  defaultsOf(state.Model{}.WithDefaults().Spec),
	"server": defaultsOf(state.DefaultedServer(state.DefaultServer).WithDefaults().Spec),
}

func defaultsOf(spec any) map[string]any {
	found := map[string]any{}
	collectDefaults(reflect.ValueOf(spec), found)
	return found
}

func collectDefaults(v reflect.Value, found map[string]any) {
	for i := range v.NumField() {
		f, name := v.Field(i), strings.Split(v.Type().Field(i).Tag.Get("json"), ",")[0]
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		field := v.Type().Name() + "." + name
		switch x := f.Interface().(type) {
		case state.Args, state.Env:
			continue
		case state.Duration, state.Tristate:
			found[field] = json.RawMessage(mustJSON(x))
			continue
		}
		switch {
		case f.Kind() == reflect.Struct:
			collectDefaults(f, found)
		case f.Kind() == reflect.Map || f.Kind() == reflect.Pointer || f.IsZero():
		default:
			found[field] = f.Interface()
		}
	}
}

func mustJSON(v any) []byte {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return doc
}

// TestSchemas: the published schemas are those of the types.
func TestSchemas(t *testing.T) {
	t.Chdir("../..") // the generator names packages by their path below here
	for name, v := range published {
		t.Run(name, func(t *testing.T) {
			want := generate(t, name, v)
			path := "cmd/dynctl/schemas/" + name + ".json"
			if *update {
				if err := os.WriteFile(path, want, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			have, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(have)); d != "" {
				t.Errorf("%s is not up to date: go test ./cmd/dynctl -run TestSchemas -update\n%s", path, d)
			}
		})
	}
}

// validate checks a document against the published schema of a name.
func validate(name string, doc []byte) error {
	text, err := readSchema(name)
	if err != nil {
		return err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", schema); err != nil {
		return err
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return fmt.Errorf("output is no JSON: %w", err)
	}
	return compiled.Validate(value)
}

// valid checks a file of a story against a published schema: valid units stdout.
func valid(ts *testscript.TestScript, neg bool, args []string) {
	for _, line := range documentsOf(args[0], ts.ReadFile(args[1])) {
		ts.Check(validate(args[0], []byte(line)))
	}
}

// documentsOf splits a stream of events into its lines; the other outputs are one
// document.
func documentsOf(name, text string) []string {
	if name != "event" {
		return []string{text}
	}
	return strings.Split(strings.TrimSpace(text), "\n")
}
