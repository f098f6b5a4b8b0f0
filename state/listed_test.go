package state

import (
	"fmt"
	"strings"
	"testing"
)

// listedDocument is an item of `dynctl get models -o yaml`, with any name of a model.
const listedDocument = `- name: tiny
  server: default
  revision: 2
  document:
    apiVersion: dynctl/v1alpha1
    kind: Model
    metadata: {name: tiny}
    spec: {model: /m, engine: %s}
  status: {key: model.default.tiny, acceptedRevision: 2}
`

func TestWhatGetPrintsIsReadAgain(t *testing.T) {
	const model = `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"a"},"spec":{"model":"/m","engine":"mocker"}}`
	yaml := fmt.Sprintf(listedDocument, "mocker")
	for _, row := range []struct{ name, text, want string }{
		{"YAML", yaml, "model.default.tiny"},
		{"JSON on several lines", "[\n  {\n    \"name\": \"a\",\n    \"document\": " + model + ",\n    \"status\": null\n  }\n]\n", "model.default.a"},
		{"two, and a document behind them", yaml + strings.ReplaceAll(yaml, "tiny", "b") + "---\n" + model, "model.default.tiny model.default.b model.default.a"},
		{"a server without a spec", "- {name: default, document: null}\n" + yaml, "model.default.tiny"},
		{"nothing but that", "- {name: default, document: null}\n", ""},
		{"a list of documents", "- " + model + "\n", "a document is an object, and this is a list"},
		{"one item without a document", yaml + "- {name: b}\n", "a document is an object, and this is a list"},
		{"a fault stands where it was written", fmt.Sprintf(listedDocument, "[mocker]"), "f.yaml:8:31: spec.engine"},
		{"one that is no YAML", yaml + strings.Replace(yaml, "spec: {", "spec: {model: /n, ", 1), "f.yaml:17:23: the key \"model\" stands twice"},
		{"and nothing else is said of it", strings.Replace(yaml, "spec: {", "spec: {model: /n, ", 1), "f.yaml:8:23: the key \"model\" stands twice"},
		{"an empty list", "[]\n", "a document is an object, and this is a list"},
	} {
		found, err := DecodeFile("f.yaml", []byte(row.text))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		var got []string
		for d := range found {
			for _, err := range d.Errs {
				got = append(got, err.Error())
			}
			if len(d.Errs) == 0 {
				got = append(got, d.Doc.Key().String())
			}
		}
		if text := strings.Join(got, " "); text != row.want && (row.want == "" || !strings.Contains(text, row.want)) {
			t.Errorf("%s: %s, want %s", row.name, text, row.want)
		}
	}
}

// What is stored under a key is a document, and no list with one.
func TestAStoredListIsNoDocument(t *testing.T) {
	if _, err := DecodeValue(ModelKey("default", "tiny"), []byte(fmt.Sprintf(listedDocument, "mocker"))); err == nil {
		t.Error("it was read")
	}
}

// An empty value is none of several documents.
func TestAnEmptyValue(t *testing.T) {
	for _, value := range []string{"", " \n", "null", "---\n---\n", "# nothing yet\n"} {
		_, err := DecodeValue(ModelKey("default", "tiny"), []byte(value))
		if err == nil || !strings.Contains(err.Error(), "the value holds no document; begin with apiVersion: dynctl/v1alpha1 and kind: Model, or delete the key") {
			t.Errorf("%q: %v", value, err)
		}
	}
}
