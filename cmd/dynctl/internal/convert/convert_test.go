package convert

import (
	"errors"
	"strings"
	"testing"

	"dynctl/state"
)

func files(texts ...string) (out []File) {
	for _, text := range texts {
		out = append(out, File{Name: "f.yaml", Data: []byte(text)})
	}
	return out
}

// A server comes before its models, and what was left out is told.
func TestFiles(t *testing.T) {
	result, err := Files(files("server: {name: My_Server}\nmodels:\n- model_identifier: a/b\n  kv_events: false\n"))
	if err == nil || !strings.Contains(err.Error(), "f.yaml:4:3: models[0].kv_events: unknown field") {
		t.Fatalf("got %v, want the place of the unknown field", err)
	}
	if len(result.Objects) > 0 || len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "my-server") {
		t.Errorf("got %+v, want the notes of what was read before", result)
	}
	result, err = Files(files("server: {name: My_Server}\nmodels:\n- model_identifier: a/b\n", "model_identifier: c/b\n"))
	if err != nil || len(result.Objects) != 3 {
		t.Fatalf("got %+v, %v", result, err)
	}
	if s, ok := result.Objects[0].Spec.(state.Server); !ok || s.Metadata.Name != "my-server" {
		t.Errorf("the first is %+v, want the server", result.Objects[0].Spec)
	}
	for i, name := range []string{"b", "c-b"} {
		if m, ok := result.Objects[i+1].Spec.(state.Model); !ok || m.Metadata.Name != name || m.Metadata.Server != "my-server" {
			t.Errorf("got %+v, want the model %s", result.Objects[i+1].Spec, name)
		}
	}
}

// What is wrong with an object is told at the field that it was made from.
func TestFault(t *testing.T) {
	result, err := Files(files("model_identifier: a/b\nengine_kwargs: {port: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = result.Objects[0].Fault("model/b", &state.Invalid{Path: "spec.engineArgs.port", Reason: "X", Message: "wrong"})
	place, ok := errors.AsType[*state.SpecError](err)
	if !ok || place.Line != 2 || place.Column != 17 || !strings.Contains(err.Error(), "engine_kwargs.port: model/b: ") {
		t.Errorf("got %v", err)
	}
}
