package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Any input is either read or refused with a place: it never panics, and what is
// read can be read again from its JSON form.
func FuzzDecode(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), modelHead, "", "---\n---\n", "a: *b", "&a [*a]", "? a\n: b", "<<: {a: 1}", "a: !!str", "a: &x", "%TAG",
		"{\"a\": 1}", "{\"a\": [1, {\"b\": null}]} {}", "\ufeffa: 1\r\n", "a: |\n  b\n", "- - - a", "{", "'", "\"\\u", "a: >-", "\t", "!!map {}", "a: .nan",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Decode("f", data)
		if err != nil {
			if _, ok := errors.AsType[*SpecError](err); !ok {
				t.Fatalf("an error without a place: %v", err)
			}
			checkText(t, err.Error())
		}
		if _, err := DecodeAny("f", data); err != nil {
			checkText(t, err.Error())
		}
		if _, err := DecodeValue(ModelKey("default", "m"), data); err != nil && len(err.Error()) > MaxMessage {
			t.Fatalf("%.300v", err)
		}
		for _, d := range docs {
			if !json.Valid(d.Raw) {
				t.Fatalf("not JSON: %s", d.Raw)
			}
			again, err := Decode("g", d.Raw)
			if err != nil || len(again) != 1 {
				t.Fatalf("%v in %s", err, d.Raw)
			}
			if string(again[0].Raw) != string(d.Raw) {
				t.Fatalf("read again as\n%s\nwas\n%s", again[0].Raw, d.Raw)
			}
			if m := d.Object.Model; m != nil {
				checkRules(t, d, ValidateModel(m.WithDefaults(), DefaultedServer("default").Spec))
			} else {
				checkRules(t, d, ValidateServer(d.Object.Server.WithDefaults()))
			}
			Locate(d, "spec.engineArgs.a")
		}
	})
}

// checkRules fails unless what is said of broken rules can be shown.
func checkRules(t *testing.T, d Doc, rules []*Invalid) {
	t.Helper()
	var f Faults
	for _, rule := range rules {
		f.Add(d.Place(rule))
	}
	checkText(t, f.Error())
	checkText(t, f.OneLine())
}

// Any JSON is either read as arguments or refused, and what is read is written
// back as the same value.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":[1.0]}`, `{"a":1,"a":2}`, `null`, `[]`, `{"\u00fc":"<&>"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Args
		if err := json.Unmarshal(data, &a); err != nil {
			return
		}
		out, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var b Args
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatal(err)
		}
		MergeRuntimeEnv(a, b)
	})
}
