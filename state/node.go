package state

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// nodeKind is the kind of JSON value that a node stands for.
type nodeKind int

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeNumber
	nodeString
	nodeList
	nodeObject
)

func (k nodeKind) String() string {
	switch k {
	case nodeBool:
		return "true or false"
	case nodeNumber:
		return "a number"
	case nodeString:
		return "text"
	case nodeList:
		return "a list"
	case nodeObject:
		return "an object"
	}
	return "nothing"
}

// node is one value of a document with its place, whether it was YAML or JSON.
type node struct {
	kind      nodeKind
	line, col int
	// text is a string's value, or a number or boolean as JSON.
	text string
	// source is a scalar as it was written.
	source string
	items  []*node
	fields []field
}

// field is one key of an object.
type field struct {
	key       string
	line, col int
	value     *node
}

func (n *node) field(key string) *node {
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// json is the value as compact JSON, keys in their order, numbers as written.
func (n *node) json() json.RawMessage {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes()
}

func (n *node) writeJSON(b *bytes.Buffer) {
	switch n.kind {
	case nodeNull:
		b.WriteString("null")
	case nodeBool, nodeNumber:
		b.WriteString(n.text)
	case nodeString:
		writeJSONString(b, n.text)
	case nodeList:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	case nodeObject:
		b.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONString(b, f.key)
			b.WriteByte(':')
			f.value.writeJSON(b)
		}
		b.WriteByte('}')
	}
}

// locate finds the deepest node on a path such as "spec.env.A": the place of the
// last key that exists. Keys may hold dots themselves. An item of a list has its
// number from 0 for a key.
func (n *node) locate(path string) (line, col int) {
	line, col = n.line, n.col
	for path != "" {
		if n.kind == nodeList {
			key, rest, _ := strings.Cut(path, ".")
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.items) {
				return line, col
			}
			n, path = n.items[i], rest
			line, col = n.line, n.col
			continue
		}
		var next *field
		rest := ""
		for i := range n.fields {
			f := &n.fields[i]
			if f.key != "" && path == f.key {
				next, rest = f, ""
				break
			}
			if after, ok := cutKey(path, f.key); ok && (next == nil || len(f.key) > len(next.key)) {
				next, rest = f, after
			}
		}
		if next == nil {
			return line, col
		}
		n, path, line, col = next.value, rest, next.line, next.col
	}
	return line, col
}

func cutKey(path, key string) (rest string, ok bool) {
	if len(path) > len(key) && path[:len(key)] == key && path[len(key)] == '.' {
		return path[len(key)+1:], true
	}
	return "", false
}
