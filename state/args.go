package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Clone returns a copy that shares nothing with a.
func (a Args) Clone() Args {
	if a == nil {
		return nil
	}
	out := make(Args, len(a))
	for i, x := range a {
		out[i] = Arg{Key: x.Key, Value: slices.Clone(x.Value)}
	}
	return out
}

// Overlay returns a with the values of other: a key that a has is replaced where
// it stands, a new key is appended. Values are replaced whole, never merged.
// Neither a nor other is changed.
func (a Args) Overlay(other Args) Args {
	out := a.Clone()
	places := out.places()
	for _, x := range other {
		value := slices.Clone(x.Value)
		if i, has := places[x.Key]; has {
			out[i].Value = value
			continue
		}
		places[x.Key] = len(out)
		out = append(out, Arg{Key: x.Key, Value: value})
	}
	return out
}

// places are the indices of the keys, for who looks up many of them.
func (a Args) places() map[string]int {
	at := make(map[string]int, len(a))
	for i, x := range a {
		if _, has := at[x.Key]; !has {
			at[x.Key] = i
		}
	}
	return at
}

// With returns a with key set to value: in place if a has the key, else at the
// end. It may reuse a's memory, as append does.
func (a Args) With(key string, value json.RawMessage) Args {
	for i := range a {
		if a[i].Key == key {
			a[i].Value = value
			return a
		}
	}
	return append(a, Arg{Key: key, Value: value})
}

// Without returns a copy of a that lacks the keys.
func (a Args) Without(keys ...string) Args {
	var out Args
	for _, x := range a.Clone() {
		if !slices.Contains(keys, x.Key) {
			out = append(out, x)
		}
	}
	return out
}

// MarshalJSON writes a JSON object in the order of a.
func (a Args) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSONString(&b, x.Key)
		b.WriteByte(':')
		if len(x.Value) == 0 {
			return nil, fmt.Errorf("key %q has no value; JSON null is written \"null\"", x.Key)
		}
		b.Write(x.Value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads a JSON object, keeping its order and the text of its
// values. A key that stands twice is an error. JSON null gives nil.
func (a *Args) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		*a = nil
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return err
	}
	if start != json.Delim('{') {
		return fmt.Errorf("want an object, got %s", jsonKind(data))
	}
	out := Args{}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("the key %q stands twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		out = append(out, Arg{Key: key, Value: value})
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	*a = out
	return nil
}

// writeJSONString appends s as a JSON string, leaving <, > and & as they are.
func writeJSONString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	// Encoding a string into a buffer cannot fail.
	_ = enc.Encode(s)
	b.Truncate(b.Len() - 1) // the encoder's newline
}

// jsonKind says in words what kind of value a JSON text holds.
func jsonKind(data []byte) string {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "nothing"
	}
	switch data[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "text"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
