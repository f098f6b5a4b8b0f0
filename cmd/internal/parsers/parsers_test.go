package parsers

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"dynctl/state"
)

const table = `{"program": "vllm", "versions": {"ai-dynamo": "1.6.0"}, "parsers": [{"flags": [
	{"names": ["--max-model-len"], "kind": "int"}, {"names": ["--NAME"], "kind": "int"}]}]}`

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func node(id string, p state.NodeParser) state.Node {
	return state.Node{ID: id, Alive: true, Versions: map[string]string{"dynamo": "1.6.0", "vllm": "0.31.0"}, Parsers: map[string]state.NodeParser{"vllm": p}}
}

// What counts are the flags that all nodes know that have the program, once all of them
// are read.
func TestOfTheNodes(t *testing.T) {
	one := state.NodeParser{Digest: "1", Table: packed(t, strings.ReplaceAll(table, "NAME", "old"))}
	two := state.NodeParser{Digest: "2", Table: packed(t, strings.ReplaceAll(table, "NAME", "new"))}
	a, b := node("a", one), node("b", two)
	dead, bare := node("c", state.NodeParser{}), node("d", state.NodeParser{})
	dead.Alive = false
	delete(bare.Versions, "vllm")
	for _, tt := range []struct {
		name  string
		nodes []state.Node
		known string
	}{
		{"one node", []state.Node{a}, "max_model_len old"},
		{"one that has a digest of another's table", []state.Node{a, node("b", state.NodeParser{Digest: "1"})}, "max_model_len old"},
		{"nodes that differ", []state.Node{a, b}, "max_model_len"},
		{"a dead node and one without the program", []state.Node{a, dead, bare}, "max_model_len old"},
		{"one that is not read yet", []state.Node{a, node("b", state.NodeParser{})}, ""},
		{"one that could not be read", []state.Node{a, node("b", state.NodeParser{Error: "ImportError"})}, ""},
		{"a digest without a table", []state.Node{node("b", state.NodeParser{Digest: "3"})}, ""},
		{"garbage", []state.Node{node("b", state.NodeParser{Digest: "3", Table: "eA=="})}, ""},
		{"a table of another program", []state.Node{node("b", state.NodeParser{Digest: "3", Table: packed(t, strings.Replace(table, "vllm", "sglang", 1))})}, ""},
		{"no nodes", nil, ""},
	} {
		set := new(Cache).Of(tt.nodes)
		got := set["vllm"]
		if tt.known == "" {
			if got != nil {
				t.Errorf("%s: got %d flags, want no table", tt.name, len(got.Flags()))
			}
			continue
		}
		var names []string
		for _, f := range got.Flags() {
			names = append(names, f.Key())
		}
		if strings.Join(names, " ") != tt.known || !got.FromNodes {
			t.Errorf("%s: got %v, of the nodes: %t; want %s", tt.name, names, got.FromNodes, tt.known)
		}
	}
}

func TestTablesAreUnpackedOnce(t *testing.T) {
	var c Cache
	one := node("a", state.NodeParser{Digest: "1", Table: packed(t, table)})
	first := c.Of([]state.Node{one})["vllm"]
	if again := c.Of([]state.Node{one})["vllm"]; again != first || first == nil {
		t.Error("the same nodes give another table")
	}
	two := node("a", state.NodeParser{Digest: "2", Table: packed(t, strings.Replace(table, "NAME", "new", 1))})
	if c.Of([]state.Node{two})["vllm"] == first || len(c.tables) != 1 || len(c.common) != 1 {
		t.Errorf("kept %d tables and %d in common, want the newer alone", len(c.tables), len(c.common))
	}
}

// Who writes into the bucket fills no memory.
func TestATableIsBounded(t *testing.T) {
	if _, err := Unpack("vllm", packed(t, strings.Repeat(" ", maxTable+1)+table)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}
