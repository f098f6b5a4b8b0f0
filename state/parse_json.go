package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Bounds of a document, far above any real spec, so that no input can exhaust
// the stack or the memory.
const (
	maxFileSize = 16 << 20
	maxDepth    = 100
	maxNodes    = 1 << 18
	maxTokens   = 20_000 // of one YAML document; the library's parser is not linear
	tooDeepHint = "no spec needs more than 100 levels"
)

// parsed is one document as it was read; root is nil where it cannot be read at all.
type parsed struct {
	root *node
	errs []error
}

// jsonParser reads JSON documents, one after the other, with the place of each
// value.
type jsonParser struct {
	src  *source
	data []byte
	dec  *json.Decoder
	errs []error
	// at is the place that was last asked for; places are asked for in their order.
	at struct{ offset, line, col int }
}

// parseJSON reads one or many JSON documents; ok is false if data is not JSON.
func parseJSON(src *source, data []byte) (docs []parsed, ok bool) {
	p := &jsonParser{src: src, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	p.at.line, p.at.col = 1, 1
	for len(bytes.TrimSpace(data[p.dec.InputOffset():])) > 0 {
		n, err := p.value(0)
		if spec, is := errors.AsType[*SpecError](err); is {
			return append(docs, parsed{nil, append(p.errs, spec)}), true
		}
		if err != nil {
			return nil, false
		}
		docs = append(docs, parsed{n, p.errs})
		p.errs = nil
	}
	return docs, len(docs) > 0
}

// place is the line and column of an offset at or after the last one.
func (p *jsonParser) place(offset int) (line, col int) {
	passed := p.data[p.at.offset:offset]
	if i := bytes.LastIndexByte(passed, '\n'); i >= 0 {
		p.at.line += bytes.Count(passed, []byte("\n"))
		p.at.col = 1
		passed = passed[i+1:]
	}
	p.at.col += utf8.RuneCount(passed)
	p.at.offset = offset
	return p.at.line, p.at.col
}

// start is the offset of the next token.
func (p *jsonParser) start() int {
	i := int(p.dec.InputOffset())
	for i < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[i]) >= 0 {
		i++
	}
	return i
}

func (p *jsonParser) value(depth int) (*node, error) {
	begin := p.start()
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{}
	n.line, n.col = p.place(begin)
	n.source = string(p.data[begin:p.dec.InputOffset()])
	switch t := token.(type) {
	case nil:
		n.kind = nodeNull
	case bool:
		n.kind, n.text = nodeBool, n.source
	case json.Number:
		n.kind, n.text = nodeNumber, n.source
	case string:
		n.kind, n.text, n.source = nodeString, t, t
	case json.Delim:
		if depth >= maxDepth {
			return nil, p.src.errorAt(n.line, n.col, "the document is nested too deeply", tooDeepHint)
		}
		if t == '[' {
			n.kind = nodeList
			return n, p.list(n, depth)
		}
		n.kind = nodeObject
		return n, p.object(n, depth)
	}
	return n, nil
}

func (p *jsonParser) list(n *node, depth int) error {
	for p.dec.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.dec.Token()
	return err
}

func (p *jsonParser) object(n *node, depth int) error {
	seen := map[string]int{}
	for p.dec.More() {
		begin := p.start()
		token, err := p.dec.Token()
		if err != nil {
			return err
		}
		f := field{}
		f.key, _ = token.(string)
		f.line, f.col = p.place(begin)
		if f.value, err = p.value(depth + 1); err != nil {
			return err
		}
		if first, twice := seen[f.key]; twice {
			p.errs = append(p.errs, duplicateKey(p.src, f, first))
			continue
		}
		seen[f.key] = f.line
		n.fields = append(n.fields, f)
	}
	_, err := p.dec.Token()
	return err
}
