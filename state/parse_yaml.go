package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// yamlParser turns the syntax tree of a YAML document into nodes: anchors, aliases
// and merge keys are resolved, scalars become JSON.
type yamlParser struct {
	src     *source
	first   int // line of the file on which the document begins, from 0
	errs    []error
	anchors map[string]*node
	nodes   int
}

// yamlChunk is one document: the lines from first up to end.
type yamlChunk struct{ first, end int }

func (c yamlChunk) parse(src *source, _ []byte) parsed {
	p := &yamlParser{src: src, first: c.first, anchors: map[string]*node{}}
	if err := p.checkLines(c); err != nil {
		return parsed{nil, []error{err}}
	}
	root := p.document(strings.Join(src.lines[c.first:c.end], "\n"))
	return parsed{root, p.errs}
}

// checkLines refuses what would keep the lexer too long.
func (p *yamlParser) checkLines(c yamlChunk) error {
	size, blank := 0, 0
	for i, line := range p.src.lines[c.first:c.end] {
		size += len(line) + 1
		if blank++; strings.TrimSpace(line) != "" {
			blank = 0
		}
		if blank > maxBlank {
			return p.src.errorAt(c.first+i+1, 1, fmt.Sprintf("there are more than %d blank lines in a row", maxBlank), "remove some of them")
		}
	}
	if size > maxSource {
		return p.src.tooLong(c.first+1, 1, size)
	}
	return nil
}

// yamlChunks splits a file at its document markers, which no scalar can hold at the
// start of a line. The parser of the library drops what follows an empty document.
func yamlChunks(lines []string) []section {
	var out []section
	begin := 0
	add := func(end int) {
		if hasContent(lines[begin:end]) {
			out = append(out, yamlChunk{begin, end})
		}
	}
	for i, line := range lines {
		switch {
		case isMarker(line, "---"):
			add(i)
			begin = i
		case isMarker(line, "..."):
			add(i)
			begin = i + 1
		}
		if len(out) > MaxDocuments {
			return out
		}
	}
	add(len(lines))
	return out
}

func isMarker(line, marker string) bool {
	rest, ok := strings.CutPrefix(line, marker)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// hasContent reports whether lines hold more than comments, directives and a marker.
func hasContent(lines []string) bool {
	for i, line := range lines {
		if i == 0 && isMarker(line, "---") {
			line = line[3:]
		}
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && line[0] != '%' {
			return true
		}
	}
	return false
}

func (p *yamlParser) document(text string) (n *node) {
	// The YAML library is not ours; input that breaks it is refused like any other
	// that cannot be read.
	defer func() {
		if r := recover(); r != nil {
			n = nil
			p.errs = append(p.errs, p.src.errorAt(p.first+1, 1,
				"the document that begins here cannot be read as YAML", "check its indentation and its brackets"))
		}
	}()
	tokens, err := p.tokenize(text)
	if err == nil {
		err = p.checkTokens(tokens)
	}
	if err != nil {
		p.errs = append(p.errs, err)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p.errs = append(p.errs, p.syntaxError(err))
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if n != nil {
			p.errs = append(p.errs, p.fail(doc.Body, "put --- on a line between two documents", "a second document begins here"))
			return nil
		}
		if n, err = p.value(doc.Body, 0); err != nil {
			p.errs = append(p.errs, err)
			return nil
		}
	}
	return n
}

func (p *yamlParser) syntaxError(err error) error {
	line, col, message := 1, 1, ""
	// Its Error prints the whole document around the place.
	if yamlErr, ok := errors.AsType[yaml.Error](err); !ok {
		message = err.Error()
	} else {
		message = yamlErr.GetMessage()
		if t := yamlErr.GetToken(); t != nil && t.Position != nil {
			line, col = t.Position.Line, t.Position.Column
		}
	}
	return p.src.errorAt(p.first+line, col, "this is not YAML: "+message,
		"check the brackets and the indentation (by spaces) of this line and its neighbours")
}

func (p *yamlParser) fail(n ast.Node, hint, format string, args ...any) error {
	line, col := p.place(n)
	return p.src.errorAt(line, col, fmt.Sprintf(format, clipWords(args)...), hint)
}

// place is the line and column of a syntax node in the file.
func (p *yamlParser) place(n ast.Node) (line, col int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return p.first + t.Position.Line, t.Position.Column
	}
	return p.first + 1, 1
}

func (p *yamlParser) value(n ast.Node, depth int) (*node, error) {
	p.nodes++
	if p.nodes > maxNodes {
		return nil, p.fail(n, "aliases may repeat it over and over", "the document has too many values")
	}
	if depth > maxDepth {
		return nil, p.fail(n, tooDeepHint, "the document is nested too deeply")
	}
	out := &node{}
	out.line, out.col = p.place(n)
	switch x := n.(type) {
	case *ast.MappingNode:
		return out, p.mapping(out, x.Values, depth)
	case *ast.MappingValueNode:
		return out, p.mapping(out, []*ast.MappingValueNode{x}, depth)
	case *ast.SequenceNode:
		out.kind = nodeList
		for _, item := range x.Values {
			v, err := p.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, v)
		}
		return out, nil
	case *ast.AnchorNode:
		v, err := p.value(x.Value, depth+1)
		if err == nil {
			p.anchors[x.Name.GetToken().Value] = v
		}
		return v, err
	case *ast.AliasNode:
		return p.alias(x)
	case *ast.TagNode:
		return p.tagged(x, depth)
	}
	return out, p.scalar(out, n)
}

// alias copies the value of an anchor to the place of the alias.
func (p *yamlParser) alias(x *ast.AliasNode) (*node, error) {
	name := x.Value.GetToken().Value
	target, ok := p.anchors[name]
	if !ok {
		return nil, p.fail(x, "define it above with &"+name, "the alias *%s has no anchor before it", name)
	}
	if p.nodes += target.count(); p.nodes > maxNodes {
		return nil, p.fail(x, "aliases may repeat it over and over", "the document has too many values")
	}
	out := *target
	out.line, out.col = p.place(x)
	return &out, nil
}

func (n *node) count() int {
	total := 1
	for _, item := range n.items {
		total += item.count()
	}
	for _, f := range n.fields {
		total += f.value.count()
	}
	return total
}

// tagged applies the standard tags; a type of another language is refused.
func (p *yamlParser) tagged(x *ast.TagNode, depth int) (*node, error) {
	if x.Value == nil {
		return nil, p.fail(x, "", "the tag %s has no value", x.Start.Value)
	}
	v, err := p.value(x.Value, depth+1)
	if err != nil {
		return nil, err
	}
	want := map[string]nodeKind{
		"!!str": nodeString, "!!int": nodeNumber, "!!float": nodeNumber, "!!bool": nodeBool,
		"!!null": nodeNull, "!!map": nodeObject, "!!seq": nodeList,
	}
	kind, known := want[x.Start.Value]
	switch {
	case known && kind == v.kind:
		return v, nil
	case known && kind == nodeString && v.kind <= nodeNumber:
		v.kind, v.text = nodeString, v.source
		return v, nil
	}
	return nil, p.fail(x, "remove it", "the tag %s does not fit a spec", x.Start.Value)
}

// mapping fills out an object. Keys written in the mapping win over merged ones,
// which stand where the merge key does.
func (p *yamlParser) mapping(out *node, values []*ast.MappingValueNode, depth int) error {
	out.kind = nodeObject
	written := map[string]int{}
	keys := make([]field, len(values))
	for i, v := range values {
		if v.Key.IsMergeKey() {
			continue
		}
		f, err := p.key(v.Key)
		if err != nil {
			return err
		}
		keys[i] = f
		if first, twice := written[f.key]; twice {
			p.errs = append(p.errs, duplicateKey(p.src, f, first))
			keys[i].line = -1
			continue
		}
		written[f.key] = f.line
	}
	for i, v := range values {
		value, err := p.value(v.Value, depth+1)
		switch {
		case err != nil:
			return err
		case v.Key.IsMergeKey():
			if err := p.merge(out, v, value, written); err != nil {
				return err
			}
		case keys[i].line >= 0:
			keys[i].value = value
			out.fields = append(out.fields, keys[i])
		}
	}
	return nil
}

func (p *yamlParser) key(n ast.MapKeyNode) (field, error) {
	f := field{}
	f.line, f.col = p.place(n)
	k := &node{}
	if inner, ok := n.(*ast.MappingKeyNode); ok && inner.Value != nil {
		return f, p.fail(n, "write it as text", "a key with ? in front does not fit a spec")
	}
	if err := p.scalar(k, n); err != nil || k.kind == nodeNull {
		return f, p.fail(n, "put it in quotes", "a key has to be text")
	}
	f.key = k.source
	return f, nil
}

func (p *yamlParser) merge(out *node, v *ast.MappingValueNode, value *node, written map[string]int) error {
	sources := []*node{value}
	if value.kind == nodeList {
		sources = value.items
	}
	for _, s := range sources {
		if s.kind != nodeObject {
			return p.fail(v.Value, "write <<: *anchor", "<< merges objects, and this is %s", s.kind)
		}
		for _, f := range s.fields {
			if _, has := written[f.key]; !has {
				written[f.key] = f.line
				out.fields = append(out.fields, f)
			}
		}
	}
	return nil
}

func (p *yamlParser) scalar(out *node, n ast.Node) error {
	t := n.GetToken()
	if t == nil {
		return p.fail(n, "", "this place cannot be read")
	}
	out.source = t.Value
	switch x := n.(type) {
	case *ast.NullNode:
		out.kind = nodeNull
	case *ast.BoolNode:
		out.kind, out.text = nodeBool, strconv.FormatBool(x.Value)
	case *ast.StringNode:
		out.kind, out.text, out.source = nodeString, x.Value, x.Value
		// The library takes some numbers for text: 1e5, and those beyond 64 bits.
		if t.Type == token.StringType && isJSONNumber(t.Value) {
			out.kind, out.text = nodeNumber, t.Value
		}
	case *ast.LiteralNode:
		out.kind, out.text, out.source = nodeString, x.Value.Value, x.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text, ok := jsonNumber(t.Value)
		if !ok {
			return p.fail(n, "put it in quotes if it is text", "%s is not a number that JSON can hold", t.Value)
		}
		out.kind, out.text = nodeNumber, text
	case *ast.InfinityNode, *ast.NanNode:
		return p.fail(n, "put it in quotes if it is text", "%s is not a number that JSON can hold", t.Value)
	default:
		return p.fail(n, "", "%s does not fit a spec here", strings.ToLower(n.Type().YAMLName()))
	}
	return nil
}

func isJSONNumber(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && json.Valid([]byte(s))
}

// jsonNumber is a YAML number as JSON: as it was written where JSON takes that.
func jsonNumber(s string) (string, bool) {
	if isJSONNumber(s) {
		return s, true
	}
	plain := strings.ReplaceAll(s, "_", "")
	if len(plain) < 256 {
		if i, ok := new(big.Int).SetString(strings.TrimPrefix(plain, "+"), 0); ok {
			return i.String(), true
		}
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil {
		return "", false
	}
	text, err := json.Marshal(f)
	return string(text), err == nil
}

func duplicateKey(src *source, f field, first int) error {
	return src.errorAt(f.line, f.col, fmt.Sprintf("the key %q stands twice", Clip(f.key, maxWord)),
		fmt.Sprintf("it was set on line %d; keep one of them", first))
}
