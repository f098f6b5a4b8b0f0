package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	generator "github.com/invopop/jsonschema"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"dynctl/actors/offline"
	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/state"
)

// finding has the name under which it is published.
type finding doctor.Finding

// published are the shapes that have a schema, by its name.
var published = map[string]any{
	"models":  []objectInfo{},
	"servers": []objectInfo{},
	"units":   []unitInfo{},
	"nodes":   []state.Node{},
	"status":  statusInfo{},
	"history": []revisionInfo{},
	"router":  []routerInfo{},
	"doctor":  []finding{},
	"explain": []explanation{},
	"plan":    planInfo{},
	"render":  offline.Rendered{},
	"version": versionInfo{},

	"policy-test": []verdictInfo{},
}

// special are the types whose JSON is not what reflection sees.
func special(t reflect.Type) *generator.Schema {
	switch t {
	case reflect.TypeFor[state.Args]():
		return &generator.Schema{Type: "object"}
	case reflect.TypeFor[state.EnvValue]():
		return &generator.Schema{OneOf: []*generator.Schema{
			{Type: "string"},
			{Type: "object", Description: "read from a file, or from the environment, where the process starts"},
		}}
	case reflect.TypeFor[json.RawMessage]():
		return &generator.Schema{}
	}
	return nil
}

// nullable are the fields that may be null, because nothing is known of them.
var nullable = map[string]bool{
	"objectInfo.document": true, "objectInfo.status": true, "statusInfo.agent": true,
	"RenderedGroup.bundleLabelSelector": true, "RenderedActor.runtimeEnv": true, "revisionInfo.document": true,
	"planRoll.maxUnavailable": true,
}

// linkPattern is a link of a doc comment.
var linkPattern = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

// comments are those of the types, by name. All of the source is parsed for them: once, and
// not for each schema.
var comments = sync.OnceValues(func() (map[string]string, error) {
	var r generator.Reflector
	for _, dir := range []string{"./state", "./actors", "./cmd/dynctl"} {
		if err := r.AddGoComments("dynctl", dir, generator.WithFullComment()); err != nil {
			return nil, err
		}
	}
	out := map[string]string{}
	for key, text := range r.CommentMap {
		text = linkPattern.ReplaceAllString(strings.Join(strings.Fields(text), " "), "$1")
		out[strings.Replace(key, "dynctl/cmd/dynctl", "main", 1)] = text
		out[key] = text
	}
	return out, nil
})

func generate(t *testing.T, name string, v any) []byte {
	t.Helper()
	texts, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	r := &generator.Reflector{Mapper: special, Anonymous: true, CommentMap: texts}
	s := r.Reflect(v)
	s.ID = generator.ID("urn:dynctl:schema:" + name)
	s.Title = "dynctl " + name
	for typ, def := range s.Definitions {
		for pair := def.Properties.Oldest(); pair != nil; pair = pair.Next() {
			field := typ + "." + pair.Key
			if nullable[field] {
				inner := *pair.Value
				*pair.Value = generator.Schema{Description: inner.Description}
				inner.Description = ""
				pair.Value.AnyOf = []*generator.Schema{&inner, {Type: "null"}}
			}
		}
	}
	doc, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(doc, '\n')
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

// TestExamplesHaveTheSchema: the schema beside the examples is the one of the program.
func TestExamplesHaveTheSchema(t *testing.T) {
	const path = "../../examples/spec.schema.json"
	want, err := readSchema("spec")
	if err != nil {
		t.Fatal(err)
	}
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
		t.Errorf("%s is not up to date: go test ./cmd/dynctl -run TestExamples -update\n%s", path, d)
	}
}

// TestExamplesNameTheSchema: every example begins with the schema, and is valid under it.
func TestExamplesNameTheSchema(t *testing.T) {
	for pattern, schema := range map[string]string{"*.yaml": "spec.schema.json", "recipes/*.yaml": "../spec.schema.json"} {
		examples, err := filepath.Glob("../../examples/" + pattern)
		if err != nil || len(examples) == 0 {
			t.Fatalf("no examples at %s: %v", pattern, err)
		}
		for _, example := range examples {
			text, err := os.ReadFile(example)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# yaml-language-server: $schema="+schema+"\n") {
				t.Errorf("%s does not begin with its schema", example)
			}
			docs, err := state.Decode(example, text)
			if err != nil {
				t.Error(err)
			}
			for _, doc := range docs {
				if err := validate("spec", doc.Raw); err != nil {
					t.Errorf("%s:%d: %v", example, doc.Line, err)
				}
			}
		}
	}
}

// TestSchemasHaveIDs: an editor or a validator that knows several tells them apart.
func TestSchemasHaveIDs(t *testing.T) {
	for _, name := range schemaNames() {
		doc, err := readSchema(name)
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			ID string `json:"$id"`
		}
		if err := json.Unmarshal(doc, &s); err != nil {
			t.Fatal(err)
		}
		if want := "urn:dynctl:schema:" + name; s.ID != want {
			t.Errorf("%s: $id %q, want %q", name, s.ID, want)
		}
	}
}

// compiled are the published schemas by name, each of them compiled once.
var compiled struct {
	sync.Mutex
	schemas map[string]*jsonschema.Schema
}

func compile(name string) (*jsonschema.Schema, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if s := compiled.schemas[name]; s != nil {
		return s, nil
	}
	text, err := readSchema(name)
	if err != nil {
		return nil, err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", schema); err != nil {
		return nil, err
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		return nil, err
	}
	if compiled.schemas == nil {
		compiled.schemas = map[string]*jsonschema.Schema{}
	}
	compiled.schemas[name] = s
	return s, nil
}

// validate checks a document against the published schema of a name.
func validate(name string, doc []byte) error {
	schema, err := compile(name)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return fmt.Errorf("output is no JSON: %w", err)
	}
	return schema.Validate(value)
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

// What validation refuses by its form alone, an editor marks as well.
func TestTheSchemaMarksWhatIsRefused(t *testing.T) {
	const doc = `{"apiVersion": "dynctl/v1alpha1", "kind": "Model", "metadata": {"name": "m"}, "spec": %s}`
	for spec, valid := range map[string]bool{
		`{"model": "a/m", "servedName": "m", "engineArgs": {"max_model_len": 1, "a.b-c": null}}`:       true,
		`{"model": "a/m", "mode": "disagg", "prefill": {"env": {"A": "b"}, "resources": {"gpus": 2}}}`: true,
		`{"model": "a/m", "mode": "disagg", "decode": {"placement": {"nodeSelector": {"a": "b"}}}}`:    true,
		`{"model": "--help"}`:                                                                 false,
		`{"model": "a/m", "servedName": "a b"}`:                                               false,
		`{"model": "a/m", "servedName": "a,b"}`:                                               false,
		`{"model": "a/m", "servedName": "-a"}`:                                                false,
		`{"model": "a/m", "engineArgs": {"--a": 1}}`:                                          false,
		`{"model": "a/m", "dynamoArgs": {"a=1": 1}}`:                                          false,
		`{"model": "a/m", "mode": "disagg", "decode": {"engineArgs": {"a b": 1}}}`:            false,
		`{"model": "a/m", "mode": "disagg", "decode": {"placement": {"waitForNodes": true}}}`: false,
		`{"model": "a/m", "mode": "disagg", "prefill": {"runtimeEnv": {"pip": ["a"]}}}`:       false,
	} {
		if err := validate("model", fmt.Appendf(nil, doc, spec)); (err == nil) != valid {
			t.Errorf("%s: %v, want valid: %t", spec, err, valid)
		}
	}
}
