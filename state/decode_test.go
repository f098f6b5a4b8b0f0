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
		{"overflow", modelHead + "  replicas: 99999999999\n", `6:13: spec.replicas is out of range: 99999999999`},
		{"list for an object", modelHead + "  engineArgs: [a]\n", `6:15: spec.engineArgs takes an object, and this is a list`},
		{"not a duration", modelHead + "  startupTimeout: soon\n", `6:19: spec.startupTimeout takes a duration, and "soon" is none; write one such as 30s, 5m or 1h30m`},
		{"duration without a unit", modelHead + "  startupTimeout: 30\n", `6:19: spec.startupTimeout takes a duration, and this is a number; add a unit: 30s, 30m`},
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

func TestDecodeNamesEveryPlace(t *testing.T) {
	_, err := Decode("f", []byte(modelHead+"  replicas: x\n  engin: vllm\n---\nkind: Model\n"))
	lines := 0
	for _, want := range []string{"f:6:", "f:7:", "f:9:1: apiVersion is missing"} {
		if strings.Contains(err.Error(), want) {
			lines++
		}
	}
	if lines != 3 {
		t.Errorf("got %v", err)
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

func TestDecodeDocuments(t *testing.T) {
	text := "\ufeff# a comment\r\n---\r\n" + strings.ReplaceAll(modelHead, "\n", "\r\n") +
		"---\n---\n# nothing\n---\n%YAML 1.2\n---\n" + modelHead + "...\n--- # the last\n" +
		"apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: s}\n"
	docs, err := Decode("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, d := range docs {
		got = append(got, d.Line)
	}
	if diff := cmp.Diff([]int{3, 14, 21}, got); diff != "" {
		t.Error(diff)
	}
	if docs[2].Object.Server == nil {
		t.Error("the last document is no Server")
	}
}

// A document that cannot be read does not hide the others.
func TestDecodeKeepsGoodDocuments(t *testing.T) {
	docs, err := Decode("f", []byte("a: [\n---\n"+modelHead))
	if err == nil || len(docs) != 1 {
		t.Errorf("got %d documents and %v", len(docs), err)
	}
}

func TestDecodeSeveralJSONDocuments(t *testing.T) {
	one := `{"apiVersion": "dynctl/v1alpha1", "kind": "Model", "metadata": {"name": "m"}, "spec": {"model": "m"}}`
	docs, err := Decode("f", []byte(one+"\n"+one+"\n"))
	if err != nil || len(docs) != 2 || docs[1].Line != 2 {
		t.Errorf("got %v and %v", docs, err)
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

func TestDecodeValue(t *testing.T) {
	tests := []struct {
		name, key, text, reason, path string
	}{
		{"fits", "model.default.m", modelHead, "", ""},
		{"another name", "model.default.n", modelHead, ReasonKeyMismatch, "metadata.name"},
		{"another server", "model.other.m", modelHead, ReasonKeyMismatch, "metadata.server"},
		{"another kind", "server.m", modelHead, ReasonKeyMismatch, "kind"},
		{"two documents", "model.default.m", modelHead + "---\n" + modelHead, ReasonInvalidSpec, ""},
		{"none", "model.default.m", "# nothing\n", ReasonInvalidSpec, ""},
		{"too large", "model.default.m", modelHead + strings.Repeat("#", MaxValueSize), ReasonTooLarge, ""},
		{"cannot be read", "model.default.m", "a: [", ReasonInvalidSpec, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseKey(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = DecodeValue(key, []byte(tt.text))
			if got := ReasonOf(err); got != tt.reason {
				t.Fatalf("got %v, want reason %q", err, tt.reason)
			}
			if invalid, ok := errors.AsType[*Invalid](err); ok && invalid.Path != tt.path {
				t.Errorf("path %q, want %q", invalid.Path, tt.path)
			}
		})
	}
}

// A document is refused wherever it is read, not only where it is stored: what a
// file holds is what the store would.
func TestDecodeTooLarge(t *testing.T) {
	big := func(n int) string { return modelHead + "  env: {A: \"" + strings.Repeat("x", n) + "\"}\n" }
	docs, err := Decode("f", []byte(big(MaxValueSize)+"---\n"+modelHead+"---\n"+big(MaxValueSize/2)))
	if len(docs) != 2 {
		t.Errorf("%d documents, want those of a size that is taken", len(docs))
	}
	place, ok := errors.AsType[*SpecError](err)
	if got := ReasonOf(err); got != ReasonTooLarge || !ok || place.Line != 1 {
		t.Errorf("got %.200v with reason %q, want %s and where", err, got, ReasonTooLarge)
	}
	aliases := modelHead + "  env: {A: &a \"" + strings.Repeat("x", MaxValueSize/4) + "\", B: *a, C: *a, D: *a, E: *a}\n"
	if _, err := Decode("f", []byte(aliases)); ReasonOf(err) != ReasonTooLarge {
		t.Errorf("with aliases: got %.200v", err)
	}
}

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

// TestDecodeEach: a document that cannot be read as a whole still says what it is,
// and does not hide the others.
func TestDecodeEach(t *testing.T) {
	text := modelHead + "  replica: 2\n  engine: sglang\n---\n" + modelHead + "---\nkind: Modell\nmetadata: {name: x}\n"
	each, err := DecodeEach("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(each) != 3 {
		t.Fatalf("got %d documents, want 3", len(each))
	}
	broken := each[0]
	if len(broken.Errs) != 1 || broken.Doc.Key() != ModelKey("default", "m") || broken.Doc.Object.Model.Spec.Engine != EngineSGLang {
		t.Errorf("got %+v, want its key, its engine and one error", broken)
	}
	if len(each[1].Errs) != 0 || each[1].Doc.Object.Model == nil {
		t.Errorf("got %+v, want a Model without errors", each[1])
	}
	if len(each[2].Errs) == 0 || each[2].Doc.Key() != (Key{}) {
		t.Errorf("got %+v, want errors and no key", each[2])
	}
	if _, err := DecodeEach("f", []byte("a: \x00")); err == nil {
		t.Error("a file that is no text is read")
	}
}

// TestDecodeAny: a document that is no spec has places too, in lists as well.
func TestDecodeAny(t *testing.T) {
	docs, err := DecodeAny("f", []byte("models:\n- a: 1\n- a: 1\n  b.c: [x, {d: y}]\n---\n---\n[1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 2 || string(docs[1].Raw) != "[1]" || docs[1].Line != 7 {
		t.Fatalf("got %+v, want an object and a list", docs)
	}
	for path, want := range map[string][2]int{
		"models": {1, 1}, "models.1": {3, 3}, "models.1.a": {3, 3}, "models.1.b.c.1.d": {4, 13}, "models.7": {1, 1}, "models.x": {1, 1}, "": {1, 1},
	} {
		if line, col, _ := Locate(docs[0], path); line != want[0] || col != want[1] {
			t.Errorf("%s: got %d:%d, want %v", path, line, col, want)
		}
	}
	if _, err := DecodeAny("f", []byte("a: 1\na: 2\n")); err == nil {
		t.Error("a key that stands twice is taken")
	}
}
