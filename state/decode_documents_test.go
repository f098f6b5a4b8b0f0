package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

func TestDecodeValue(t *testing.T) {
	tests := []struct {
		name, key, text, reason, path string
	}{
		{"fits", "model.default.m", modelHead, "", ""},
		{"another name", "model.default.n", modelHead, ReasonKeyMismatch, "metadata.name"},
		{"another server", "model.other.m", modelHead, ReasonKeyMismatch, "metadata.server"},
		{"no name", "model.default.m", "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: null\nspec: {model: m}\n", ReasonKeyMismatch, "metadata.name"},
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

// TestAValueWithoutAName: it is told what to add, and not that it belongs under a key without one.
func TestAValueWithoutAName(t *testing.T) {
	for _, row := range []struct {
		key   Key
		value string
		says  string
	}{
		{ModelKey("default", "m"), `"kind": "Model", "metadata": null`, "add metadata: {name: m}"},
		{ServerKey("s"), `"kind": "Server", "metadata": null`, "add metadata: {name: s}"},
		{ServerKey("s"), `"kind": "Server", "metadata": {"name": "other"}`, "belongs under the key server.other"},
		{ModelKey("default", "m"), `"kind": "Server", "metadata": {"name": "m"}`, "belongs under the key server.m"},
	} {
		_, err := DecodeValue(row.key, []byte(`{"apiVersion": "dynctl/v1alpha1", "spec": {}, `+row.value+`}`))
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %s: got %v, want %q", row.key, row.value, err, row.says)
		}
	}
}
