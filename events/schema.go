package events

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of an event as it stands in the
// stream.
func Schema() []byte { return append([]byte(nil), schema...) }
