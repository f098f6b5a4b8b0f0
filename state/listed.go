package state

import (
	"iter"
	"slices"
	"strings"
)

// DecodeFile is [DecodeSeq] for what people hand over. Besides documents it takes what
// `dynctl get -o yaml|json` prints, which is a list of objects that each have their document
// beside what else is known of them: the documents are read, in their places, and the rest
// is passed over.
func DecodeFile(file string, data []byte) (iter.Seq[Decoded], error) {
	src, text, found, err := divide(file, data)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(src.lines, beginsList) {
		return decodeAll(src, text, slices.Values(found)), nil
	}
	return decodeAll(src, text, func(yield func(section) bool) {
		for _, s := range found {
			for _, part := range listed(s, src, text) {
				if !yield(part) {
					return
				}
			}
		}
	}), nil
}

// beginsList reports whether a line may be the first of a document that is a list. Most files
// have none, and are parsed once.
func beginsList(line string) bool {
	return strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "[")
}

// listed are the documents of a section that is such a list, else the section itself.
func listed(s section, src *source, text []byte) []section {
	quiet := *src
	quiet.told = MaxFaults
	read := s.parse(&quiet, text)
	if read.root == nil || read.root.kind != nodeList || len(read.root.items) == 0 {
		return []section{s}
	}
	if len(read.errs) > 0 {
		return []section{brokenList{s}}
	}
	out := make([]section, len(read.root.items))
	for i, item := range read.root.items {
		document := item.field(listedField)
		if document == nil {
			return []section{s}
		}
		out[i] = documentOf{document}
	}
	return out
}

// listedField is where an item of `dynctl get` has its document; null: it was declared by
// nobody, as a server that has models and no spec.
const listedField = "document"

// documentOf is a document within another one.
type documentOf struct{ root *node }

func (d documentOf) parse(*source, []byte) parsed { return parsed{root: d.root} }

// brokenList is a list that cannot be read whole: its faults are told, and not that it is a list,
// which it may well be.
type brokenList struct{ section }

func (b brokenList) parse(src *source, text []byte) parsed {
	return parsed{errs: b.section.parse(src, text).errs}
}
