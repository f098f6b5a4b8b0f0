package actors

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
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

// TestTextJSONIsOrdinary: what is written and read without encoding/json is what that writes
// and reads, or the digests of what runs would be others.
func TestTextJSONIsOrdinary(t *testing.T) {
	texts := []string{"", "é", "\u2028", "\xff", "ends in \\", `{"expand":"x"}`}
	for c := range 256 {
		texts = append(texts, string([]byte{byte(c)}), "a"+string(rune(c))+"b")
	}
	for _, s := range texts {
		lit, _ := json.Marshal(s)
		exp, _ := json.Marshal(map[string]string{"expand": s})
		valid := strings.ToValidUTF8(s, "\ufffd")
		for _, c := range []struct {
			text Text
			want []byte
			back Text
		}{{Lit(s), lit, Lit(valid)}, {Exp(s), exp, Exp(valid)}} {
			got, err := json.Marshal(c.text)
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%q: %s, %v, want %s", s, got, err, c.want)
			}
			var back Text
			if err := json.Unmarshal(got, &back); err != nil || back != c.back {
				t.Errorf("%s comes back as %+v, %v, want %+v", got, back, err, c.back)
			}
		}
	}
	var spaced Text
	if err := json.Unmarshal([]byte(`{ "expand" : "x" }`), &spaced); err != nil || spaced != Exp("x") {
		t.Errorf("%+v, %v", spaced, err)
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
