package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const modelHead = "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec:\n  model: org/m\n"

func decodeModel(t *testing.T, text string) Model {
	t.Helper()
	docs, err := Decode("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 1 || docs[0].Object.Model == nil {
		t.Fatalf("got %d documents, want one Model", len(docs))
	}
	return *docs[0].Object.Model
}

// Each row breaks one rule; want is "line:column: message; hint".
func TestDecodeErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown field", modelHead + "  servedname: x\n", `6:3: spec has no field "servedname"; did you mean servedName?`},
		{"a field of Curator's", modelHead + "  num_replicas: 2\n", `6:3: spec has no field "num_replicas"; did you mean replicas?`},
		{"unknown field far from any", modelHead + "  resources: {zzz: 1}\n", `6:15: spec.resources has no field "zzz"; it has cpus, gpus`},
		{"Curator's flat shape", "model_identifier: m\n", `1:1: apiVersion is missing; this looks like Curator's flat shape; turn it into a spec with dynctl convert`},
		{"unknown kind", "apiVersion: dynctl/v1alpha1\nkind: Moodel\n", `2:7: kind "Moodel" is not known; it is Server or Model; did you mean Model?`},
		{"unknown apiVersion", "apiVersion: v1\nkind: Model\n", `1:13: apiVersion "v1" is not known; it is dynctl/v1alpha1`},
		{"text for a number", modelHead + "  replicas: \"2\"\n", `6:13: spec.replicas takes a number, and this is text`},
		{"number for text", modelHead + "  restart: 2\n", `6:12: spec.restart takes text, and this is a number; put it in quotes: "2"`},
		{"number for a label", "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m, labels: {a: 1}}\n", `3:33: metadata.labels.a takes text, and this is a number; put it in quotes: "1"`},
		{"fraction for a count", modelHead + "  replicas: 1.5\n", `6:13: spec.replicas takes a whole number, and this is 1.5; write it without a fraction or an exponent`},
		{"overflow", modelHead + "  replicas: 99999999999\n", `6:13: spec.replicas is out of range: 99999999999; it lies from -2147483648 to 2147483647`},
		{"list for an object", modelHead + "  engineArgs: [a]\n", `6:15: spec.engineArgs takes an object, and this is a list`},
		{"not a duration", modelHead + "  startupTimeout: soon\n", `6:19: spec.startupTimeout takes a duration, and "soon" is none; write one such as 30s, 5m or 1h30m`},
		{"duration without a unit", modelHead + "  startupTimeout: 30\n", `6:19: spec.startupTimeout takes a duration, and this is a number; add a unit: 30s, 30m`},
		{"a duration that no number counts", modelHead + "  startupTimeout: 99999999h\n", `6:19: spec.startupTimeout: 99999999h is too long; the longest is 10000h`},
		{"zero duration", modelHead + "  startupTimeout: 0s\n", `6:19: spec.startupTimeout has to be longer than 0s; leave it out for the default`},
		{"zero port", "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: s}\nspec: {frontend: {port: 0}}\n", `4:25: spec.frontend.port cannot be 0; leave it out for the default`},
		{"not a tristate", modelHead + "  router: {kvEvents: maybe}\n", `6:22: spec.router.kvEvents takes true, false or auto, and this is "maybe"`},
		{"env without a value", modelHead + "  env:\n    A:\n", `7:5: spec.env.A has no value; write "" for an empty value`},
		{"env with both sources", modelHead + "  env:\n    A: {fromFile: a, fromEnv: b}\n", `7:8: spec.env.A takes text, or exactly one of fromFile and fromEnv`},
		{"env of a list", modelHead + "  env: {A: [1]}\n", `6:12: spec.env.A takes text, {fromFile: path} or {fromEnv: name}, and this is a list`},
		{"duplicate key", modelHead + "  model: b\n", `6:3: the key "model" stands twice; it was set on line 5; keep one of them`},
		{"duplicate key in JSON", "{\"apiVersion\": \"dynctl/v1alpha1\",\n\"kind\": \"Model\",\n\"kind\": \"Model\"}", `3:1: the key "kind" stands twice; it was set on line 2; keep one of them`},
		{"alias without an anchor", modelHead + "  restart: *x\n", `6:12: the alias *x has no anchor before it; define it above with &x`},
		{"a tag of another language", modelHead + "  restart: !!python/object x\n", `6:12: the tag !!python/object does not fit a spec; remove it`},
		{"infinity", modelHead + "  engineArgs: {a: .inf}\n", `6:19: .inf is not a number that JSON can hold; put it in quotes if it is text`},
		{"not an object", "- a\n", `1:1: a document is an object, and this is a list; begin with apiVersion: dynctl/v1alpha1`},
		{"not YAML", "a: [1, 2\n", `1:4: this is not YAML: sequence end token ']' not found; check the brackets and the indentation (by spaces) of this line and its neighbours`},
		{"not UTF-8", "a: 1\nb: \xff\n", `2:4: the byte 0xff here is not UTF-8; save the file as UTF-8 text`},
		{"UTF-16", "\xff\xfea\x00", `1:1: the file is UTF-16; save it as UTF-8`},
		{"NUL", "a: \x00", `1:4: there is a NUL character here; save the file as UTF-8 text`},
		{"nested too deeply", strings.Repeat("[", 1000), `1:65: the document is nested too deeply; no spec needs more than 64 levels`},
		{"nested too deeply in JSON", strings.Repeat(`{"a":`, 1000), `1:321: the document is nested too deeply; no spec needs more than 64 levels`},
		{"nested too deeply in a line", strings.Repeat("- ", 1000), `1:129: the document is nested too deeply; no spec needs more than 64 levels`},
		{"too many values", strings.Repeat("\"\"", 1<<16), `1:1: the document that begins here has too many values; a YAML document may have about 13333, a JSON document more`},
		{"merge of a list of text", modelHead + "  engineArgs: {<<: [a]}\n", `6:20: << merges objects, and this is text; write <<: *anchor`},
		{"a complex key", "? a\n: 2\n", `1:1: a key with ? in front does not fit a spec; write it as text`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode("f", []byte(tt.text))
			spec, ok := errors.AsType[*SpecError](err)
			if !ok {
				t.Fatalf("got %v, want a SpecError", err)
			}
			head, _, _ := strings.Cut(strings.TrimPrefix(spec.Error(), "f:"), "\n")
			if head != tt.want {
				t.Errorf("got  %s\nwant %s", head, tt.want)
			}
		})
	}
}

// A value that cannot be read is not judged as the zero that it left behind.
func TestDecodeTellsAFaultOnce(t *testing.T) {
	server := "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: s}\nspec: "
	for _, text := range []string{"{frontend: {port: \"8000\"}}", "{frontend: {port: 1.5}}", "{frontend: {port: [1]}}", "{healing: {backoff: {multiplier: \"2\"}}}", "{frontend: {port: 0}}"} {
		_, err := Decode("f", []byte(server+text+"\n"))
		if err == nil || strings.Count(err.Error(), "f:4:") != 1 {
			t.Errorf("%s: got %v, want one fault", text, err)
		}
	}
}

// Many aliases of many aliases are refused before they fill the memory.
func TestDecodeRefusesAliasBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
	for i := range 12 {
		b.WriteString("a" + string(rune('b'+i)) + ": &a" + string(rune('b'+i)) + " [")
		previous := "*a0"
		if i > 0 {
			previous = "*a" + string(rune('a'+i))
		}
		b.WriteString(strings.Repeat(previous+", ", 8) + previous + "]\n")
	}
	_, err := Decode("f", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("got %v", err)
	}
}

func TestDecodeShowsTheLine(t *testing.T) {
	_, err := Decode("m.yaml", []byte(modelHead+"  replicass: 2\n"))
	want := "m.yaml:6:3: spec has no field \"replicass\"; did you mean replicas?\n" +
		"    6 |   replicass: 2\n" +
		"      |   ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDecodeLongLine(t *testing.T) {
	text := `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"` + strings.Repeat("a", 500) + `"},"spec":{"x":1}}`
	_, err := Decode("f", []byte(text))
	spec, ok := errors.AsType[*SpecError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(spec.Snippet, "\n")
	if len(lines[0]) > maxSnippet+20 {
		t.Errorf("the snippet has %d characters", len(lines[0]))
	}
	if at := strings.Index(lines[1], "^"); at < 0 || !strings.HasPrefix(lines[0][at:], `"x"`) {
		t.Errorf("the caret is off:\n%s", spec.Snippet)
	}
}

// Numbers keep their text, keys their order.
func TestDecodeKeepsTextAndOrder(t *testing.T) {
	args := `{"b":1.0,"a":[1,{"z":1e+22,"y":-0.0}],"c":"1.0","d":12345678901234567890123,"e":null,"f":true}`
	for _, form := range []struct{ name, text string }{
		{"JSON", `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{"model":"m","engineArgs":` + args + `}}`},
		{"flow YAML", modelHead + "  engineArgs: " + args + "\n"},
		{"block YAML", modelHead + "  engineArgs:\n    b: 1.0\n    a:\n    - 1\n    - z: 1e+22\n      y: -0.0\n    c: '1.0'\n    d: 12345678901234567890123\n    e:\n    f: true\n"},
	} {
		t.Run(form.name, func(t *testing.T) {
			got, err := json.Marshal(decodeModel(t, form.text).Spec.EngineArgs)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != args {
				t.Errorf("got  %s\nwant %s", got, args)
			}
		})
	}
}

func TestDecodeYAMLScalars(t *testing.T) {
	tests := []struct{ written, args, env string }{
		{"yes", `"yes"`, "yes"},
		{"0x1F", `31`, "0x1F"},
		{"0o17", `15`, "0o17"},
		{"1_000", `1000`, "1_000"},
		{"+5", `5`, "+5"},
		{".5", `0.5`, ".5"},
		{"1e5", `1e5`, "1e5"},
		{"True", `true`, "True"},
		{"2026-01-01", `"2026-01-01"`, "2026-01-01"},
		{"!!str 12", `"12"`, "12"},
		{"'it''s'", `"it's"`, "it's"},
		{`"\u00fc\ud83d\ude00"`, `"ü😀"`, "ü😀"},
		{">-\n      a\n      b", `"a b"`, "a b"},
	}
	for _, tt := range tests {
		t.Run(tt.written, func(t *testing.T) {
			m := decodeModel(t, modelHead+"  env:\n    A: "+tt.written+"\n  engineArgs:\n    A: "+tt.written+"\n")
			if got := m.Spec.Env["A"].Value; got != tt.env {
				t.Errorf("env: got %q, want %q", got, tt.env)
			}
			if got, _ := m.Spec.EngineArgs.Get("A"); string(got) != tt.args {
				t.Errorf("argument: got %s, want %s", got, tt.args)
			}
		})
	}
}

func TestDecodeAnchorsAndMergeKeys(t *testing.T) {
	m := decodeModel(t, modelHead+"  mode: disagg\n  engineArgs: &base {a: 1, b: 2}\n"+
		"  prefill:\n    engineArgs:\n      <<: *base\n      b: 3\n      c: 4\n"+
		"  decode:\n    engineArgs:\n      <<: [{d: 5, a: 9}, *base]\n")
	if got := string(marshalArgs(m.Spec.Prefill.EngineArgs)); got != `{"a":1,"b":3,"c":4}` {
		t.Errorf("prefill: %s", got)
	}
	if got := string(marshalArgs(m.Spec.Decode.EngineArgs)); got != `{"d":5,"a":9,"b":2}` {
		t.Errorf("decode: %s", got)
	}
}

func TestDecodeNullIsUnset(t *testing.T) {
	m := decodeModel(t, modelHead+"  replicas: null\n  env:\n  resources: {gpus: ~}\n  router: {kvEvents: null}\n").WithDefaults()
	if *m.Spec.Replicas != 1 || m.Spec.Resources.GPUs != nil || m.Spec.Router.KVEvents != Auto {
		t.Errorf("got %+v", m.Spec)
	}
}

// The example of the contract decodes, and is valid.
func TestDecodeExample(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := Decode("example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	model, server := docs[0].Object.Model.WithDefaults(), docs[1].Object.Server.WithDefaults()
	if got := ValidateServer(server); len(got) > 0 {
		t.Error(got)
	}
	if got := ValidateModel(model, server.Spec); len(got) > 0 {
		t.Error(got)
	}
	if diff := cmp.Diff(DefaultedServer("default"), server, cmp.Comparer(sameArgs), cmp.Comparer(sameEnv)); diff != "" {
		t.Errorf("the example's Server spells out the defaults: %s", diff)
	}
}

func sameArgs(a, b Args) bool { return string(marshalArgs(a)) == string(marshalArgs(b)) }
func sameEnv(a, b Env) bool   { return len(a) == 0 && len(b) == 0 }

func TestLocate(t *testing.T) {
	docs, err := Decode("f", []byte(modelHead+"  engineArgs:\n    a.b: 1\n    a: {b: 2}\n  env: {A: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path      string
		line, col int
	}{
		{"spec.engineArgs.a.b", 7, 5}, // the longer key
		{"spec.engineArgs.a", 8, 5},
		{"spec.env.A", 9, 9},
		{"spec.replicas", 4, 1}, // not written: the place above
		{"metadata.name", 3, 12},
		{"", 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			line, col, snippet := Locate(docs[0], tt.path)
			if line != tt.line || col != tt.col || snippet == "" {
				t.Errorf("got %d:%d %q", line, col, snippet)
			}
		})
	}
	placed := docs[0].Place(&Invalid{Reason: ReasonManagedEnv, Path: "spec.env.A", Message: "wrong"})
	if got := placed.Error(); !strings.HasPrefix(got, "f:9:9: spec.env.A: wrong (ManagedEnv)\n") {
		t.Errorf("got %s", got)
	}
}
