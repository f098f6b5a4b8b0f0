package state

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// apiGroup is what all versions of the spec format begin with.
const apiGroup = "dynctl/"

// conversion rewrites the tree of a document of another version into one of [APIVersion], in
// place; nodes that stay keep their places, so that faults are told where they stand. What it
// cannot convert it leaves, to be refused as an unknown field.
type conversion func(root *node)

// conversions are the other versions that are read, by apiVersion: the one place where a
// version is converted. What follows the decoder knows [APIVersion] alone, and so does what a
// status keeps of an accepted document: a program without a conversion goes on with what one
// that has it has accepted.
var conversions = map[string]conversion{}

// apiVersions are the versions that are read, that of the program last.
func apiVersions() []string {
	return append(slices.Sorted(maps.Keys(conversions)), APIVersion)
}

// converted is a document in [APIVersion] if its version is one that is read, else as it is.
func converted(root *node) *node {
	if root == nil || root.kind != nodeObject {
		return root
	}
	version := root.field("apiVersion")
	if version == nil {
		return root
	}
	if convert := conversions[version.text]; convert != nil && version.kind == nodeString {
		convert(root)
		*root.field("apiVersion") = node{kind: nodeString, line: version.line, col: version.col, text: APIVersion, source: strconv.Quote(APIVersion)}
	}
	return root
}

// ofAnotherVersion reports whether an apiVersion is one that another version of this program
// may know.
func ofAnotherVersion(apiVersion string) bool {
	return strings.HasPrefix(apiVersion, apiGroup) && !slices.Contains(apiVersions(), apiVersion)
}
