package state

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxDocuments is how many documents of one file, or objects of one store, are taken.
const MaxDocuments = 20_000

// Bounds of a document, far above any real spec, so that no input can exhaust
// the stack, the memory or the time.
const (
	maxFileSize = 16 << 20
	maxSource   = 2 * MaxValueSize // of one document, with its comments and blanks
	maxDepth    = 64
	maxNodes    = 1 << 18
	maxBlank    = 100    // blank lines in a row; the library's lexer is not linear in them
	maxTokens   = 40_000 // of one YAML document; the library's parser is not linear
	tooManyHint = "a document may have about 262,000"
	tooDeepHint = "no spec needs more than 64 levels"
)

// jsonParser reads JSON documents, one after the other, with the place of each
// value.
type jsonParser struct {
	src   *source
	data  []byte
	dec   *json.Decoder
	base  int // offset of what dec reads
	nodes int
	errs  []error
	// at is the place that was last asked for; places are asked for in their order.
	at struct{ offset, line, col int }
}

// jsonChunks finds the documents of a text; ok is false if it is not JSON.
func jsonChunks(data []byte) (found []section, ok bool) {
	p := &jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.at.line, p.at.col = 1, 1
	var skip skipped
	for len(bytes.TrimSpace(data[p.offset():])) > 0 {
		begin := p.start()
		if p.dec.Decode(&skip) != nil {
			return nil, false
		}
		c := jsonChunk{begin: begin, end: p.offset()}
		c.line, c.col = p.place(begin)
		if found = append(found, c); len(found) > MaxDocuments {
			break
		}
	}
	return found, len(found) > 0
}

// skipped takes any JSON value and keeps nothing of it.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// jsonChunk is one document: the bytes from begin up to end, and the place of the first.
type jsonChunk struct{ begin, end, line, col int }

func (c jsonChunk) parse(src *source, data []byte) parsed {
	p := &jsonParser{src: src, data: data, base: c.begin, dec: json.NewDecoder(bytes.NewReader(data[c.begin:c.end]))}
	p.dec.UseNumber()
	p.at.offset, p.at.line, p.at.col = c.begin, c.line, c.col
	if c.end-c.begin > maxSource {
		return parsed{nil, []error{src.tooLong(c.line, c.col, c.end-c.begin)}}
	}
	n, err := p.value(0)
	if err != nil {
		return parsed{nil, append(p.errs, err)}
	}
	return parsed{n, p.errs}
}

// offset is that of the end of the last token.
func (p *jsonParser) offset() int { return p.base + int(p.dec.InputOffset()) }

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
	i := p.offset()
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
	if p.nodes++; p.nodes > maxNodes {
		return nil, p.src.errorAt(n.line, n.col, "the document has too many values", tooManyHint)
	}
	n.source = string(p.data[begin:p.offset()])
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

// Depth is how deep objects and lists lie in each other, in what may be JSON.
func Depth(value []byte) (deepest int) {
	open, text := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}
