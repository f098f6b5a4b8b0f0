package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Names returns the names of the variables, sorted.
func (e Env) Names() []string { return slices.Sorted(maps.Keys(e)) }

// Overlay returns e with the variables of other, which win. Neither is changed.
func (e Env) Overlay(other Env) Env {
	out := maps.Clone(e)
	if out == nil && other != nil {
		out = Env{}
	}
	maps.Copy(out, other)
	return out
}

// envSource is how a value that is found elsewhere is written.
type envSource struct {
	FromFile string `json:"fromFile,omitempty"`
	FromEnv  string `json:"fromEnv,omitempty"`
}

// MarshalJSON writes a string, {"fromFile": path} or {"fromEnv": name}.
func (v EnvValue) MarshalJSON() ([]byte, error) {
	if v.FromFile != "" || v.FromEnv != "" {
		return json.Marshal(envSource{FromFile: v.FromFile, FromEnv: v.FromEnv})
	}
	var b bytes.Buffer
	writeJSONString(&b, v.Value)
	return b.Bytes(), nil
}

var errEnvValue = errors.New(`want text, {"fromFile": path} or {"fromEnv": name}`)

// UnmarshalJSON reads text, a number or a boolean (as the text it was written
// as), {"fromFile": path} or {"fromEnv": name}.
func (v *EnvValue) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch jsonKind(data) {
	case "text":
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*v = EnvValue{Value: s}
		return nil
	case "a number", "a boolean":
		*v = EnvValue{Value: string(data)}
		return nil
	case "an object":
		var src envSource
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&src); err != nil {
			return fmt.Errorf("%w: %w", errEnvValue, err)
		}
		if (src.FromFile == "") == (src.FromEnv == "") {
			return errEnvValue
		}
		*v = EnvValue{FromFile: src.FromFile, FromEnv: src.FromEnv}
		return nil
	}
	return fmt.Errorf("%w, got %s", errEnvValue, jsonKind(data))
}

// String is the duration as it is written in a spec: "30m", "1m30s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Seconds is the duration in seconds.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }

// MarshalText writes the duration as it is written in a spec.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// durationForm is how a duration is written, be it short enough to be counted or not.
var durationForm = regexp.MustCompile(`^[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`)

// BeyondDuration reports whether a text that [time.ParseDuration] refuses is a duration all the
// same: one that is too long to be counted.
func BeyondDuration(text string) bool { return durationForm.MatchString(text) }

// UnmarshalText reads text such as "30s", "5m" or "1h30m".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	switch {
	case err != nil && BeyondDuration(string(text)):
		return fmt.Errorf("%q is too long; the longest duration is %s", text, maxDuration)
	case err != nil:
		return fmt.Errorf("%q is not a duration; write one such as 30s, 5m or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

// Explicit reports whether the value is true or false, not auto.
func (t Tristate) Explicit() bool { return t == True || t == False }

// MarshalJSON writes true, false or "auto".
func (t Tristate) MarshalJSON() ([]byte, error) {
	switch t {
	case True, False:
		return []byte(t), nil
	case Auto, "":
		return []byte(`"auto"`), nil
	}
	return nil, fmt.Errorf("%q is none of true, false and auto", string(t))
}

// UnmarshalJSON reads true, false, "auto", or null for auto.
func (t *Tristate) UnmarshalJSON(data []byte) error {
	switch string(bytes.TrimSpace(data)) {
	case "true", `"true"`:
		*t = True
	case "false", `"false"`:
		*t = False
	case `"auto"`:
		*t = Auto
	case "null":
		*t = ""
	default:
		return fmt.Errorf("want true, false or auto, got %s", data)
	}
	return nil
}
