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
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// yamlParser turns the syntax tree of YAML documents into nodes: anchors, aliases
// and merge keys are resolved, scalars become JSON.
type yamlParser struct {
	src     *source
	errs    []error
	anchors map[string]*node
	nodes   int
}

// parseYAML reads one or many YAML documents; an empty document gives nil.
func parseYAML(src *source, data []byte) (docs []*node, errs []error) {
	// The YAML library is not ours; input that breaks it is refused like any other
	// that cannot be read.
	defer func() {
		if r := recover(); r != nil {
			docs, errs = nil, []error{src.errorAt(0, 0, "the file cannot be read as YAML", "check its indentation and its brackets")}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := checkNesting(src, tokens); err != nil {
		return nil, []error{err}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []error{syntaxError(src, err)}
	}
	p := &yamlParser{src: src}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		p.anchors = map[string]*node{}
		n, err := p.value(doc.Body, 0)
		if err != nil {
			p.errs = append(p.errs, err)
			n = nil
		}
		docs = append(docs, n)
	}
	return docs, p.errs
}

// checkNesting refuses what would send the recursive parser too deep: brackets,
// and indicators that follow each other on one line.
func checkNesting(src *source, tokens token.Tokens) error {
	depth, line, inline := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != line {
			line, inline = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType, token.MappingValueType:
			inline++
		}
		// Flow mappings have a colon per key, so a long line of them is no nesting.
		if depth > maxDepth || depth == 0 && inline > maxDepth || t.Position.IndentNum > 1<<12 {
			return src.errorAt(t.Position.Line, t.Position.Column, "the document is nested too deeply", "no spec needs more than 100 levels")
		}
	}
	return nil
}

func syntaxError(src *source, err error) error {
	if yamlErr, ok := errors.AsType[yaml.Error](err); ok {
		line, col := 0, 0
		if t := yamlErr.GetToken(); t != nil && t.Position != nil {
			line, col = t.Position.Line, t.Position.Column
		}
		return src.errorAt(line, col, "this is not YAML: "+yamlErr.GetMessage(), "")
	}
	return src.errorAt(0, 0, "this is not YAML: "+err.Error(), "")
}

func (p *yamlParser) fail(n ast.Node, hint, format string, args ...any) error {
	line, col := place(n)
	return p.src.errorAt(line, col, fmt.Sprintf(format, args...), hint)
}

// place is the line and column of a syntax node.
func place(n ast.Node) (line, col int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}

func (p *yamlParser) value(n ast.Node, depth int) (*node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, p.fail(n, "aliases may repeat it over and over", "the document has too many values")
	}
	if depth > maxDepth {
		return nil, p.fail(n, "no spec needs more than 100 levels", "the document is nested too deeply")
	}
	out := &node{}
	out.line, out.col = place(n)
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
	out.line, out.col = place(x)
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
	f.line, f.col = place(n)
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

// jsonNumber is a YAML number as JSON: as it was written where JSON takes that.
func jsonNumber(s string) (string, bool) {
	if json.Valid([]byte(s)) {
		return s, true
	}
	plain := strings.ReplaceAll(s, "_", "")
	if i, ok := new(big.Int).SetString(strings.TrimPrefix(plain, "+"), 0); ok && len(plain) < 256 {
		return i.String(), true
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil {
		return "", false
	}
	text, err := json.Marshal(f)
	return string(text), err == nil
}

func duplicateKey(src *source, f field, first int) error {
	return src.errorAt(f.line, f.col, fmt.Sprintf("the key %q stands twice", f.key),
		fmt.Sprintf("it was set on line %d; keep one of them", first))
}
