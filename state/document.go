package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"
)

// Doc is one document of a file, or one value of the spec bucket.
type Doc struct {
	Object Object
	// Raw is the document as JSON, as it was written: without defaults, in its own
	// key order, anchors resolved.
	Raw  json.RawMessage
	File string
	// Line is the line of the file on which the document begins, from 1.
	Line int

	// root reads the document again, once, and quietly: most documents are never asked
	// for a place, and their values would fill the memory.
	root func() *node
	src  *source
}

// Key is the key of the document's object, with the default server where a Model
// names none.
func (d Doc) Key() Key {
	if d.Object.Server != nil {
		return ServerKey(d.Object.Server.Metadata.Name)
	}
	if d.Object.Model == nil {
		return Key{}
	}
	m := d.Object.Model.Metadata
	setDefault(&m.Server, DefaultServer)
	return ModelKey(m.Server, m.Name)
}

// Locate finds the place of a path such as "spec.engineArgs.tensor_parallel_size"
// in the document it came from, with the line and a caret below it. Where the
// path is not written (it is missing, or a default) it is the nearest place above.
// It is for one goroutine at a time.
func Locate(doc Doc, path string) (line, col int, snippet string) {
	if doc.root == nil {
		return 0, 0, ""
	}
	root := doc.root()
	if root == nil {
		return 0, 0, ""
	}
	line, col = root.locate(path)
	return line, col, doc.src.snippet(line, col)
}

// Place turns a broken rule into an error with the place in the document.
func (d Doc) Place(i *Invalid) *SpecError {
	if i.more > 0 {
		return &SpecError{File: d.File, more: i.more}
	}
	if d.src != nil && d.src.full() {
		return &SpecError{File: d.File, rule: i, more: 1}
	}
	line, col, snippet := Locate(d, i.Path)
	return &SpecError{File: d.File, Line: line, Column: col, Snippet: snippet, Message: i.Error(), rule: i}
}

// Detached is the document without its text: it can no longer be asked for places.
// For who keeps many.
func (d Doc) Detached() Doc {
	return Doc{Object: d.Object, Raw: d.Raw, File: d.File, Line: d.Line}
}

// CheckSize is the rule that a document breaks which is stored as more than
// MaxValueSize, with its aliases resolved; nil if it is not.
func (d Doc) CheckSize() *Invalid {
	if len(d.Raw) <= MaxValueSize {
		return nil
	}
	return &Invalid{
		Reason:  ReasonTooLarge,
		Message: fmt.Sprintf("it is stored as JSON of %d bytes; at most %d are taken", len(d.Raw), MaxValueSize),
	}
}

// Decode reads one or many documents of YAML or JSON. Empty documents are passed
// over. The error is a [*Faults] of a [*SpecError] for each place that cannot be read,
// and for each document that is over MaxValueSize; the documents returned with it are
// the others.
func Decode(file string, data []byte) ([]Doc, error) {
	each, err := DecodeSeq(file, data)
	if err != nil {
		return nil, err
	}
	var docs []Doc
	var errs []error
	for d := range each {
		errs = append(errs, d.Errs...)
		if len(d.Errs) == 0 {
			docs = append(docs, d.Doc)
		}
	}
	return docs, joinSorted(errs)
}

// Decoded is one document of a file, as far as it could be read.
type Decoded struct {
	// Doc has no Object where its kind is not known, and in it only what could be
	// read where there are Errs.
	Doc Doc
	// Errs are the places that cannot be read, each a [*SpecError]. Past MaxFaults of a
	// file they are counted, and the last stands for those of this document.
	Errs []error
}

// DecodeEach is Decode for who wants to say more of a document that cannot be read
// as a whole. The error means the whole file.
func DecodeEach(file string, data []byte) ([]Decoded, error) {
	each, err := DecodeSeq(file, data)
	if err != nil {
		return nil, err
	}
	return slices.Collect(each), nil
}

// DecodeSeq is DecodeEach one document at a time, in the order of the file: the next
// is read when the loop asks for it.
func DecodeSeq(file string, data []byte) (iter.Seq[Decoded], error) {
	src, text, found, err := divide(file, data)
	if err != nil {
		return nil, err
	}
	return decodeAll(src, text, slices.Values(found)), nil
}

// divide prepares a file and finds its sections.
func divide(file string, data []byte) (src *source, text []byte, found []section, err error) {
	if src, text, err = prepare(file, data); err == nil {
		found, err = sections(src, text)
	}
	return src, text, found, err
}

// decodeAll decodes sections one at a time, and passes over empty ones.
func decodeAll(src *source, text []byte, all iter.Seq[section]) iter.Seq[Decoded] {
	return func(yield func(Decoded) bool) {
		for s := range all {
			d := decode(src, text, s)
			if (len(d.Errs) > 0 || d.Doc.Object != (Object{})) && !yield(d) {
				return
			}
		}
	}
}

// decode reads one document of a file.
func decode(src *source, text []byte, s section) Decoded {
	read := s.parse(src, text)
	d := &decoder{src: src, errs: read.errs}
	doc := Doc{File: src.file, src: src, root: again(src, text, s)}
	if root := converted(read.root); root != nil && root.kind != nodeNull {
		doc.Object, doc.Raw, doc.Line = d.object(root), root.json(), root.line
		if rule := doc.CheckSize(); rule != nil && len(d.errs) == 0 {
			d.errs = append(d.errs, doc.Place(rule))
		}
	}
	return Decoded{Doc: doc, Errs: merged(src.file, d.errs)}
}

// again reads a document once more, when it is asked for, and tells of no fault.
func again(src *source, text []byte, s section) func() *node {
	var root *node
	read := false
	return func() *node {
		if !read {
			quiet := *src
			quiet.told = MaxFaults
			root, read = converted(s.parse(&quiet, text).root), true
		}
		return root
	}
}

// merged makes one error of those that are only counted.
func merged(file string, errs []error) []error {
	var out []error
	more := 0
	for _, err := range errs {
		if n := untold(err); n > 0 {
			more += n
		} else {
			out = append(out, err)
		}
	}
	if more > 0 {
		out = append(out, &SpecError{File: file, more: more})
	}
	return out
}

// DecodeAny reads documents that need not be specs: each has Raw and its places, and
// no Object. Empty ones are passed over. The error joins a [*SpecError] for each
// place that cannot be read.
func DecodeAny(file string, data []byte) ([]Doc, error) {
	src, text, err := prepare(file, data)
	if err != nil {
		return nil, err
	}
	found, err := sections(src, text)
	if err != nil {
		return nil, err
	}
	var docs []Doc
	var errs []error
	for _, s := range found {
		doc := s.parse(src, text)
		errs = append(errs, doc.errs...)
		if root := doc.root; len(doc.errs) == 0 && root != nil && root.kind != nodeNull {
			docs = append(docs, Doc{Raw: root.json(), File: file, Line: root.line, root: again(src, text, s), src: src})
		}
	}
	return docs, joinSorted(errs)
}

// joinSorted joins errors in the order of their places.
func joinSorted(errs []error) error {
	place := func(err error) (line, col int) {
		if e, ok := errors.AsType[*SpecError](err); ok {
			return e.Line, e.Column
		}
		return 0, 0
	}
	slices.SortStableFunc(errs, func(a, b error) int {
		lineA, colA := place(a)
		lineB, colB := place(b)
		return cmp.Or(cmp.Compare(lineA, lineB), cmp.Compare(colA, colB))
	})
	return JoinFaults(errs...)
}

// CheckValueSize is what [DecodeValue] says of any value of so many bytes: an [*Invalid]
// where it is too large to be read.
func CheckValueSize(bytes int) error {
	if bytes <= MaxValueSize {
		return nil
	}
	return &Invalid{
		Reason:  ReasonTooLarge,
		Message: fmt.Sprintf("the value has %d bytes; at most %d are taken", bytes, MaxValueSize),
	}
}

// DecodeValue reads the value of a key of the spec bucket: exactly one document,
// whose metadata fit the key. The error holds a [*SpecError] where the value
// cannot be read, and an [*Invalid] where it is too large or does not fit; see
// [ReasonOf].
func DecodeValue(key Key, data []byte) (Doc, error) {
	if err := CheckValueSize(len(data)); err != nil {
		return Doc{}, err
	}
	docs, err := Decode(key.String(), data)
	if err != nil {
		return Doc{}, err
	}
	if len(docs) == 0 {
		return Doc{}, &SpecError{
			File: key.String(), Message: "the value holds no document",
			Hint: "begin with apiVersion: " + APIVersion + " and kind: " + key.Kind + ", or delete the key",
		}
	}
	if len(docs) > 1 {
		return Doc{}, &SpecError{
			File:    key.String(),
			Message: fmt.Sprintf("the value holds %d documents, and a key takes exactly one", len(docs)),
			Hint:    "write each object under a key of its own",
		}
	}
	if got := docs[0].Key(); got != key {
		path := "metadata.name"
		if got.Kind == key.Kind && got.Name == key.Name && got.Kind == KindModel {
			path = "metadata.server"
		} else if got.Kind != key.Kind {
			path = "kind"
		}
		if got.Kind == key.Kind && got.ObjectName() == "" {
			return Doc{}, &Invalid{
				Reason:  ReasonKeyMismatch,
				Path:    path,
				Message: fmt.Sprintf("the document has no name; add metadata: {name: %s}, as it stands under %s", key.ObjectName(), key),
			}
		}
		return Doc{}, &Invalid{
			Reason:  ReasonKeyMismatch,
			Path:    path,
			Message: fmt.Sprintf("the document belongs under the key %s, and stands under %s; write it there, or correct its metadata", got, key),
		}
	}
	return docs[0], nil
}

// prepare checks the encoding of a file and takes off what editors add to it.
func prepare(file string, data []byte) (*source, []byte, error) {
	if len(data) > maxFileSize {
		return nil, nil, &SpecError{
			File:    file,
			Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), maxFileSize),
			Hint:    "split it into several files",
		}
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return nil, nil, &SpecError{File: file, Line: 1, Column: 1, Message: "the file is UTF-16", Hint: "save it as UTF-8"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	src := newSource(file, data)
	for i, line := range src.lines {
		if bad := firstBad(line); bad >= 0 {
			col := utf8.RuneCountInString(line[:bad]) + 1
			return nil, nil, src.errorAt(i+1, col, badCharacter(line[bad:]), "save the file as UTF-8 text")
		}
	}
	return src, data, nil
}

// firstBad is the offset of the first byte that no text file holds, or -1.
func firstBad(line string) int {
	for i, r := range line {
		if r == 0 {
			return i
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(line[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

func badCharacter(s string) string {
	if s[0] == 0 {
		return "there is a NUL character here"
	}
	return fmt.Sprintf("the byte 0x%02x here is not UTF-8", s[0])
}

// section is one document of a file that is yet to be read.
type section interface {
	parse(src *source, text []byte) parsed
}

// parsed is one document as it was read; root is nil where it cannot be read at all.
type parsed struct {
	root *node
	errs []error
}

// sections finds the documents of a file: JSON where it is JSON, else YAML, which
// most JSON is as well.
func sections(src *source, text []byte) ([]section, error) {
	found, ok := []section(nil), false
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		found, ok = jsonChunks(text)
	}
	if !ok {
		found = yamlChunks(src.lines)
	}
	if len(found) > MaxDocuments {
		return nil, &SpecError{
			File:    src.file,
			Message: fmt.Sprintf("the file holds more than %s documents", thousands(MaxDocuments)),
			Hint:    "a store takes no more objects than that",
		}
	}
	return found, nil
}

// tooLong is a document whose text is over maxSource.
func (s *source) tooLong(line, col, size int) error {
	return s.errorAt(line, col, fmt.Sprintf("the document that begins here has %d bytes; at most %d are read", size, maxSource),
		"move large content into a file that env fromFile names")
}
