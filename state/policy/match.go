package policy

import "strings"

// matches reports whether a pattern fits a whole text; * stands for any text.
func matches(pattern, text string) bool {
	head, rest, open := strings.Cut(pattern, "*")
	if !open {
		return pattern == text
	}
	if !strings.HasPrefix(text, head) {
		return false
	}
	text = text[len(head):]
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, p := range parts[:len(parts)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return len(text) >= len(last) && strings.HasSuffix(text, last)
}

// first is the first of some patterns that fits one of some names, each made alike by
// fold.
func first(patterns []string, fold func(string) string, names ...string) (pattern string, ok bool) {
	names = folded(fold, names)
	for _, p := range patterns {
		if fits(fold(p), names) {
			return p, true
		}
	}
	return "", false
}

func folded(fold func(string) string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fold(n)
	}
	return out
}

// fits reports whether one of some names, made alike, matches a pattern.
func fits(pattern string, names []string) bool {
	for _, n := range names {
		if matches(pattern, n) {
			return true
		}
	}
	return false
}

// foldVariable makes one spelling of a variable: the loader and the interpreters read
// capitals alone, and a spelling that only looks alike has no use but to be overlooked.
func foldVariable(name string) string { return strings.ToUpper(strings.TrimSpace(name)) }

// foldFlag makes one spelling of an argument's key.
func foldFlag(key string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimLeft(strings.TrimSpace(key), "-")), "_", "-")
}

// exact is for names whose spelling counts.
func exact(s string) string { return s }

// wayIn is a name that makes a program execute what its value says.
type wayIn struct {
	pattern string
	why     string
}

// rules are one section of a policy with its defaults.
type rules struct {
	section  string // "env"
	keys     Keys
	defaults []wayIn
	fold     func(string) string
}

// judge says which rule denies one of the names of a thing, and why; "" where none does.
func (r rules) judge(names ...string) (rule, why string) {
	if p, ok := first(r.keys.Deny, r.fold, names...); ok {
		return r.section + ".deny " + p, "the policy denies it"
	}
	if _, ok := first(r.keys.Only, r.fold, names...); r.keys.Only != nil && !ok {
		return r.section + ".only", "the policy allows others alone"
	}
	return r.inside(names...)
}

// inside is judge for what stands in the value of something that is allowed: a list of
// what alone is allowed means the thing itself.
func (r rules) inside(names ...string) (rule, why string) {
	if p, ok := first(r.keys.Deny, r.fold, names...); ok {
		return r.section + ".deny " + p, "the policy denies it"
	}
	if _, ok := first(r.keys.Allow, r.fold, names...); ok {
		return "", ""
	}
	names = folded(r.fold, names)
	for _, w := range r.defaults {
		if fits(r.fold(w.pattern), names) {
			return "defaults: " + r.section + " " + w.pattern, w.why
		}
	}
	return "", ""
}
