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

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"infra", "abcd1234_m_DP0", "dynamo_default_abcd1234_pg_m_prefill_0", "dynamo_a_abcd1234_Dynamo_ETCD"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := ParseUnit(name); ok && id.String() != name {
			t.Errorf("unit %q comes back as %q", name, id)
		}
		if o, ok := ParsePlacementGroupName(name, ""); ok && PlacementGroupName(o.Server, o.Generation, o.Unit) != name {
			t.Errorf("group %q is read as %+v", name, o)
		}
		if o, ok := ParseActorName(name, ""); ok && ActorName(o.Server, o.Generation, o.Label) != name {
			t.Errorf("actor %q is read as %+v", name, o)
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
