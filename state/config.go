package state

import (
	"fmt"
	"reflect"
)

// DecodeConfig reads a file of settings as strictly as a spec: one document of YAML or
// JSON with apiVersion and a kind, in out, which is a pointer to a struct whose fields
// have json tags. The error joins a [*SpecError] for each place that cannot be read;
// the document is for the places of what is found wrong later ([Doc.Place]).
func DecodeConfig(file string, data []byte, kind string, out any) (Doc, error) {
	if len(data) > MaxValueSize {
		return Doc{}, &SpecError{
			File: file, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), MaxValueSize), Hint: "remove what it does not need",
		}
	}
	src, text, err := prepare(file, data)
	if err != nil {
		return Doc{}, err
	}
	found, err := sections(src, text)
	if err != nil {
		return Doc{}, err
	}
	var doc Doc
	for _, s := range found {
		read := s.parse(src, text)
		d := &decoder{src: src, errs: read.errs}
		switch root := read.root; {
		case root == nil || root.kind == nodeNull:
		case doc.File != "":
			d.fail(root, "keep one of them", "a second document begins here, and a %s is one", kind)
		default:
			doc = Doc{File: file, Line: root.line, Raw: root.json(), root: again(src, text, s), src: src}
			d.config(root, kind, reflect.ValueOf(out).Elem())
		}
		if err := joinSorted(merged(file, d.errs)); err != nil {
			return doc, err
		}
	}
	if doc.File == "" {
		return doc, &SpecError{File: file, Message: "the file holds no document", Hint: "begin with apiVersion: " + APIVersion + " and kind: " + kind}
	}
	return doc, nil
}

// config fills out from a document of a kind.
func (d *decoder) config(root *node, kind string, out reflect.Value) {
	if root.kind != nodeObject {
		d.fail(root, "begin with apiVersion: "+APIVersion, "a document is an object, and this is %s", root.kind)
		return
	}
	if d.header(root, kind) {
		d.value(root, out, "")
	}
}

// texts fills a list of text.
func (d *decoder) texts(n *node, v reflect.Value, path string) {
	if !d.want(n, nodeList, path) {
		return
	}
	out := make([]string, 0, len(n.items))
	for i, item := range n.items {
		if d.want(item, nodeString, fmt.Sprintf("%s.%d", path, i)) {
			out = append(out, item.text)
		}
	}
	v.Set(reflect.ValueOf(out))
}
