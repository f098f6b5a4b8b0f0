package actors

import (
	"encoding/json"
	"testing"

	"dynctl/state/engineflags"
)

func FuzzText(f *testing.F) {
	for _, seed := range []string{`"x"`, `{"expand":"{py}"}`, `{"expand":null}`, `null`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var text, again Text
		if json.Unmarshal(data, &text) != nil {
			return
		}
		out, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &again); err != nil || again != text {
			t.Errorf("%q comes back as %+v, %v", data, again, err)
		}
	})
}

func FuzzJSONText(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\u00fc"]}`, `"\ud800\\\""`, `-0.0`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		text := engineflags.JSONText(data)
		if !json.Valid([]byte(text)) || engineflags.JSONText([]byte(text)) != text {
			t.Errorf("%q is written as %q", data, text)
		}
	})
}
