package state

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	text, err := JSONSchema(kind)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("spec.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaTakesWhatDecodes(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	either := compileSchema(t, "")
	docs, err := Decode("example.yaml", example)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, schema := range []*jsonschema.Schema{compileSchema(t, d.Key().Kind), either} {
			if err := schema.Validate(instance); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t, KindModel)
	const head = `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{`
	tests := []struct {
		name, text string
		valid      bool
	}{
		{"the least", head + `"model":"m"}}`, true},
		{"env in its three forms", head + `"model":"m","env":{"A":1,"B":{"fromFile":"x"},"C":{"fromEnv":"x"}}}}`, true},
		{"null is unset", head + `"model":"m","replicas":null,"env":null,"prefill":null,"router":{"kvEvents":null}}}`, true},
		{"no model", head + `}}`, false},
		{"unknown field", head + `"model":"m","foo":1}}`, false},
		{"unknown engine", head + `"model":"m","engine":"x"}}`, false},
		{"negative replicas", head + `"model":"m","replicas":-1}}`, false},
		{"duration without a unit", head + `"model":"m","startupTimeout":"30"}}`, false},
		{"env from nowhere", head + `"model":"m","env":{"A":{}}}}`, false},
		{"waitForNodes", head + `"model":"m","placement":{"waitForNodes":true}}}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(instance); (err == nil) != tt.valid {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := JSONSchema("Pod"); err == nil {
		t.Error("an unknown kind has a schema")
	}
}

// Every path that the schema describes is a field, so that a renamed field does
// not leave its description behind.
func TestSchemaFieldsExist(t *testing.T) {
	known := map[string]bool{}
	var walk func(t reflect.Type, kind, path string)
	walk = func(t reflect.Type, kind, path string) {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for i, name := range fieldNames(t) {
			at := join(path, name)
			known[at], known[kind+":"+at] = true, true
			walk(t.Field(i).Type, kind, at)
		}
	}
	walk(reflect.TypeFor[Server](), KindServer, "")
	walk(reflect.TypeFor[Model](), KindModel, "")
	for path := range schemaFields {
		if !known[path] {
			t.Errorf("%s is no field", path)
		}
	}
	for field := range roleFields {
		if !known["spec.prefill."+field] || !known["spec.decode."+field] {
			t.Errorf("%s is no field of a role", field)
		}
	}
	data, err := JSONSchema(KindServer)
	if err != nil || !json.Valid(data) {
		t.Errorf("%s %v", data, err)
	}
}
