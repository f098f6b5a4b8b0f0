package state

import "encoding/json"

// Doc is one document of a file, or one value of the spec bucket.
type Doc struct {
	Object Object
	// Raw is the document as JSON, as it was written: without defaults, in its own
	// key order.
	Raw  json.RawMessage
	File string
	// Line is the line of the file on which the document begins, from 1.
	Line int
}

// Decode reads one or many documents of YAML or JSON.
func Decode(file string, data []byte) ([]Doc, error) { return nil, nil }

// DecodeValue reads the value of a key of the spec bucket: exactly one document,
// whose metadata fit the key.
func DecodeValue(key Key, data []byte) (Doc, error) { return Doc{}, nil }

// Locate finds the place of a path such as "spec.engineArgs.tensor_parallel_size".
func Locate(doc Doc, path string) (line, col int, snippet string) { return 0, 0, "" }
