package actors

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestTextJSON(t *testing.T) {
	for text, want := range map[string]Text{
		`"{RD}"`:            Lit("{RD}"),
		`""`:                Lit(""),
		`{"expand":"{RD}"}`: Exp("{RD}"),
		`{"expand":""}`:     Exp(""),
	} {
		var got Text
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		back, err := json.Marshal(got)
		if err != nil || string(back) != text {
			t.Errorf("%s comes back as %s, %v", text, back, err)
		}
	}
	for _, text := range []string{`null`, `1`, `{}`, `{"expand":null}`, `{"expand":"x","y":1}`, `["x"]`} {
		var got Text
		if err := json.Unmarshal([]byte(text), &got); !errors.Is(err, ErrText) {
			t.Errorf("%s: got %+v, %v, want ErrText", text, got, err)
		}
	}
}

func TestEnvVarJSON(t *testing.T) {
	for text, want := range map[string]EnvVar{
		`{"name":"A"}`:                             {Name: "A"},
		`{"name":"A","value":"1"}`:                 {Name: "A", Value: Lit("1")},
		`{"name":"A","value":{"expand":"{gpus}"}}`: {Name: "A", Value: Exp("{gpus}")},
		`{"name":"A","fromFile":"/f"}`:             {Name: "A", FromFile: "/f"},
		`{"name":"A","fromEnv":"B"}`:               {Name: "A", FromEnv: "B"},
	} {
		var got EnvVar
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if back, _ := json.Marshal(got); string(back) != text {
			t.Errorf("%s comes back as %s", text, back)
		}
	}
}
