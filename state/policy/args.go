package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// arguments judges arguments of a command line, by every name that the flag of a key
// has, and what stands in their values.
func (j *judge) arguments(at string, table *engineflags.Table, args state.Args) {
	for _, x := range args {
		if string(x.Value) == "null" {
			continue // it takes one of the model's away
		}
		field := at + "." + x.Key
		if j.flag(field, x.Key, flagNames(table, j.rules().known(), x.Key)) {
			continue
		}
		if _, inner, dotted := strings.Cut(x.Key, "."); dotted && j.names(field, strings.Split(inner, ".")) {
			continue
		}
		j.words(field, table, x.Value)
		j.value(field, x.Value)
	}
}

func (j *judge) rules() rules { return rules{"arguments", j.policy.Arguments, arguments, foldFlag} }

// known are the names that are denied, without patterns.
func (r rules) known() []string {
	out := append([]string{}, r.keys.Deny...)
	for _, w := range r.defaults {
		out = append(out, w.pattern)
	}
	return out
}

// flag judges one flag, and reports whether it is denied.
func (j *judge) flag(at, key string, names []string) bool {
	rule, why := j.rules().judge(names...)
	if rule == "" {
		return false
	}
	if !strings.HasSuffix(at, "."+key) { // it stands in the value of another
		why = key + ": " + why
	}
	j.deny(at, rule, "%s; %s", why, wayOut("arguments", foldFlag(key), rule))
	return true
}

// flagNames are the names by which a key could be denied: its own, without a leading
// no-; those of the flag that the engine's parser takes it for; and where that knows no
// such flag, every denied one of which it is the beginning, as argparse takes those.
func flagNames(table *engineflags.Table, denied []string, key string) []string {
	head, _, _ := strings.Cut(foldFlag(key), ".")
	names := []string{head, strings.TrimPrefix(head, "no-")}
	found, known := table.Find(key)
	for _, option := range append(append([]string{}, found.Names...), found.Ambiguous...) {
		names = append(names, foldFlag(option))
	}
	if known && found.Ambiguous == nil {
		return names
	}
	for _, d := range denied {
		if d = foldFlag(d); len(head) > 1 && strings.HasPrefix(d, head) {
			names = append(names, d)
		}
	}
	return names
}

// words judges values that would be read as flags: a word that begins with - ends the
// flag before it.
func (j *judge) words(at string, table *engineflags.Table, value json.RawMessage) {
	var list []string
	if one := ""; json.Unmarshal(value, &one) == nil {
		list = []string{one}
	} else if json.Unmarshal(value, &list) != nil {
		return // lists of anything but text hold no flag
	}
	for _, w := range list {
		name := strings.TrimLeft(w, "-")
		if name == w || name == "" || strings.ContainsAny(name[:1], ".0123456789") {
			continue
		}
		name, _, _ = strings.Cut(name, "=")
		j.flag(at, name, flagNames(table, j.rules().known(), name))
	}
}

// maxDepth bounds how deep texts that hold JSON are looked into; a document is no deeper
// than that itself.
const maxDepth = 64

// inside judges one key of an object, and what stands below it.
func (j *judge) inside(at string, x state.Arg) {
	j.below(at, x, 0)
}

func (j *judge) below(at string, x state.Arg, depth int) {
	field := at + "." + x.Key
	if string(x.Value) == "null" || comesWithEngine(x) && !j.listed(x.Key) || j.names(field, strings.Split(x.Key, ".")) {
		return
	}
	j.walk(field, x.Value, depth+1)
}

// comesWithEngine reports whether a key names a connector of a package that comes with the engines.
func comesWithEngine(x state.Arg) bool {
	var module string
	return foldFlag(x.Key) == "kv-connector-module-path" && json.Unmarshal(x.Value, &module) == nil &&
		slices.ContainsFunc(connectors, func(p string) bool { return strings.HasPrefix(module, p) }) &&
		!strings.ContainsFunc(module, func(r rune) bool { return r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// listed reports whether the policy's file denies a key.
func (j *judge) listed(key string) bool {
	_, denied := first(j.policy.Arguments.Deny, foldFlag, key)
	return denied
}

// names judges keys that stand inside of a value, and reports whether one is denied.
func (j *judge) names(at string, keys []string) bool {
	for _, key := range keys {
		if rule, why := j.rules().inside(key); rule != "" {
			j.deny(at, rule, "%s; %s", why, wayOut("arguments", foldFlag(key), rule))
			return true
		}
	}
	return false
}

func (j *judge) value(at string, value json.RawMessage) { j.walk(at, value, 0) }

// walk judges the keys of a value: of objects, of lists of them, and of texts that hold
// either, as the engines read them.
func (j *judge) walk(at string, value json.RawMessage, depth int) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return
	}
	switch value[0] {
	case '{':
		var fields state.Args
		if depth > maxDepth || json.Unmarshal(value, &fields) != nil {
			j.deny(at, "defaults: arguments", "its value cannot be read; write it as an object, no deeper than %d levels", maxDepth)
			return
		}
		for _, x := range fields {
			j.below(at, x, depth)
		}
	case '[':
		var list []json.RawMessage
		if depth > maxDepth || json.Unmarshal(value, &list) != nil {
			return
		}
		for i, item := range list {
			j.walk(fmt.Sprintf("%s.%d", at, i), item, depth+1)
		}
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			j.text(at, strings.TrimSpace(text), depth)
		}
	}
}

// jsonObject is how JSON's objects begin; a template of Jinja begins otherwise.
var jsonObject = regexp.MustCompile(`\{\s*"`)

// text judges a text that an engine may read as JSON. What Python would read and this
// does not (it takes NaN, for one) is denied.
func (j *judge) text(at, text string, depth int) {
	switch {
	case text == "" || !strings.ContainsAny(text[:1], "{["):
	case json.Valid([]byte(text)) && depth < maxDepth:
		j.walk(at, json.RawMessage(text), depth+1)
	case jsonObject.MatchString(text):
		j.deny(at, "defaults: arguments", "its text looks like JSON and cannot be read; write it as an object")
	}
}
