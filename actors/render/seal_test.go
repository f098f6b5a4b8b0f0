package render

import (
	"encoding/json"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/engineflags"

	"pgregory.net/rapid"
)

func TestJSONText(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"b":[1.0,2e-05],"c":{},"d":[]}`:  `{"a": 1, "b": [1.0, 2e-05], "c": {}, "d": []}`,
		" [ true ,\n null ] ":                    `[true, null]`,
		`"ü 😀"`:                                  `"\u00fc \ud83d\ude00"`,
		`"\ud800 \uD83D\uDE00 \u0041 \/ \u000a"`: `"\ud800 \ud83d\ude00 A / \n"`,
		`"\"\\\b\f\t\u007f\u001f"`:               `"\"\\\b\f\t\u007f\u001f"`,
		`"a,b:c"`:                                `"a,b:c"`,
		`-0.0`:                                   `-0.0`,
	} {
		if got := engineflags.JSONText(json.RawMessage(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// Property: JSONText is ASCII and means the same.
func TestJSONTextMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := map[string]any{rapid.String().Draw(t, "key"): []any{rapid.String().Draw(t, "value"), rapid.Int32().Draw(t, "n")}}
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		text := engineflags.JSONText(data)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is not printable ASCII", text)
		}
		var a, b any
		if json.Unmarshal(data, &a) != nil || json.Unmarshal([]byte(text), &b) != nil {
			t.Fatalf("%q is not JSON", text)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if string(x) != string(y) {
			t.Fatalf("got %s, want %s", y, x)
		}
	})
}

// What a user writes is never expanded, also inside a value that holds a
// placeholder of ours.
func TestUserTextIsSealed(t *testing.T) {
	template := state.Args{
		{Key: "{py}", Value: json.RawMessage(`"{RD} {gpus} {ip:self/0} {port:self/kv} {port}"`)},
		{Key: "nested", Value: json.RawMessage(`{"a": ["{port:infra/etcd}"]}`)},
	}
	text := KVEventsConfig(template, true)
	want := `{"\u007bpy}": "\u007bRD} \u007bgpus} \u007bip:self/0} \u007bport:self/kv} {port}", ` +
		`"nested": {"a": ["\u007bport:infra/etcd}"]}, "publisher": "zmq", "topic": "kv-events", ` +
		`"endpoint": "tcp://*:{port:self/kv}", "enable_kv_cache_events": true}`
	if text != actors.Exp(want) {
		t.Errorf("got  %+v\nwant %s", text, want)
	}
	if off := KVEventsConfig(template, false); off.Expand {
		t.Error("a value without a port is expanded")
	}
}
