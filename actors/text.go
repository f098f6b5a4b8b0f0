package actors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrText means that a JSON value is neither text nor {"expand": text}.
var ErrText = errors.New(`want a string or {"expand": "..."}`)

type expandedText struct {
	Expand *string `json:"expand"`
}

// MarshalJSON writes a string, or {"expand": "..."}.
func (t Text) MarshalJSON() ([]byte, error) {
	switch {
	case !isPlain(t.S):
	case t.Expand:
		return []byte(expandedStart + t.S + expandedEnd), nil
	default:
		return []byte(`"` + t.S + `"`), nil
	}
	if t.Expand {
		return json.Marshal(expandedText{Expand: &t.S})
	}
	return json.Marshal(t.S)
}

// How text with placeholders is written.
const expandedStart, expandedEnd = `{"expand":"`, `"}`

// isPlain reports whether text stands in JSON as it is. Nearly all does, and a template has so
// many texts that to encode each by itself was a tenth of all encoding.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// UnmarshalJSON reads what [Text.MarshalJSON] writes. The error is an [ErrText].
func (t *Text) UnmarshalJSON(data []byte) error {
	text := string(data)
	if s, ok := between(text, `"`, `"`); ok && isPlain(s) {
		*t = Lit(s)
		return nil
	}
	if s, ok := between(text, expandedStart, expandedEnd); ok && isPlain(s) {
		*t = Exp(s)
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err == nil && !bytes.Equal(data, []byte("null")) {
		*t = Lit(s)
		return nil
	}
	var e expandedText
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Expand == nil {
		return fmt.Errorf("%w, got %s", ErrText, data)
	}
	*t = Exp(*e.Expand)
	return nil
}

// between is what stands between a start and an end.
func between(s, start, end string) (string, bool) {
	s, begins := strings.CutPrefix(s, start)
	s, ends := strings.CutSuffix(s, end)
	return s, begins && ends
}
