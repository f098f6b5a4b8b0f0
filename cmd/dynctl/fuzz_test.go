package main

import (
	"encoding/json"
	"testing"

	"dynctl/events"
	"dynctl/state"
)

// FuzzStored: any stored value is shown as JSON or left out, and what is JSON can be
// shown as YAML.
func FuzzStored(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":1e400,"b":[1,{"c":null}]}`, "a: 1\nb: [x]", "[", "{\"spec\":{\"nats\":{\"url\":\"nats://a:b@c\"}}}", "\"\\u0000\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		raw := shown(value)
		if raw == nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is shown as %q", value, raw)
		}
		if _, err := jsonToYAML(raw); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if again := state.RedactDocument(raw); !json.Valid(again) {
			t.Fatalf("%q, then %q", raw, again)
		}
		if e := hideCommand(events.Event{Data: events.Data{Command: raw}}); !json.Valid(e.Data.Command) {
			t.Fatalf("%q", e.Data.Command)
		}
	})
}
