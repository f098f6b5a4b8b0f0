package actors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrText means that a JSON value is neither text nor {"expand": text}.
var ErrText = errors.New(`want a string or {"expand": "..."}`)

type expandedText struct {
	Expand *string `json:"expand"`
}

// MarshalJSON writes a string, or {"expand": "..."}.
func (t Text) MarshalJSON() ([]byte, error) {
	if t.Expand {
		return json.Marshal(expandedText{Expand: &t.S})
	}
	return json.Marshal(t.S)
}

// UnmarshalJSON reads what [Text.MarshalJSON] writes. The error is an [ErrText].
func (t *Text) UnmarshalJSON(data []byte) error {
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
