package state

import (
	"strings"
	"unicode"
)

// MaxNameLength is the length of the longest server or model name, in bytes.
const MaxNameLength = 63

// ValidServerName reports whether s names a server: [a-z0-9]([-a-z0-9]*[a-z0-9])?,
// at most MaxNameLength long.
func ValidServerName(s string) bool { return validName(s, "-") }

// ValidModelName reports whether s names a model:
// [a-z0-9]([-_.a-z0-9]*[a-z0-9])?, at most MaxNameLength long.
func ValidModelName(s string) bool { return validName(s, "-_.") }

func validName(s, inner string) bool {
	if s == "" || len(s) > MaxNameLength {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			continue
		}
		if i == 0 || i == len(s)-1 || strings.IndexByte(inner, c) < 0 {
			return false
		}
	}
	return true
}

// Slug is the served name as it stands in the names of units, actors and Dynamo
// components: lowercased by Unicode's rules, each run of characters outside
// [a-z0-9] becomes one "_", and none stands at either end. It may be empty, which
// validation rejects.
func Slug(servedName string) string {
	var b strings.Builder
	gap := false
	add := func(c rune) {
		if ('a' > c || c > 'z') && ('0' > c || c > '9') {
			gap = true
			return
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(c)
	}
	for _, c := range servedName {
		// The one character whose full lower-case mapping is more than one: an i
		// and a combining dot.
		if c == '\u0130' {
			add('i')
			add('\u0307')
			continue
		}
		add(unicode.ToLower(c))
	}
	return b.String()
}

// Components are the Dynamo components that the workers of m register under: the
// slug of an aggregated model, one per role of a disaggregated one.
func (m ModelSpec) Components() []string {
	slug := Slug(m.ServedNameOrModel())
	if m.Mode == ModeDisagg {
		return []string{slug + "_" + RoleDecode, slug + "_" + RolePrefill}
	}
	return []string{slug}
}

// ServedNameOrModel is the served name, which is the model where none is given.
func (m ModelSpec) ServedNameOrModel() string {
	if m.ServedName != "" {
		return m.ServedName
	}
	return m.Model
}
