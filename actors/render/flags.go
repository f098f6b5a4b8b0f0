package render

import (
	"bytes"
	"encoding/json"
	"strings"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// Flags writes arguments as command-line flags, in their order, by what the table
// says of them; what it does not know as [engineflags.Plain]. The table may be nil.
func Flags(args state.Args, table *engineflags.Table) []string {
	var words []string
	for _, a := range args {
		each, _ := table.Words(a.Key, a.Value) // validation told what is wrong
		words = append(words, each...)
	}
	return words
}

// objectText is [engineflags.JSONText] of an object.
func objectText(args state.Args) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, a := range args {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(a.Key)
		b.Write(key)
		b.WriteByte(':')
		b.Write(a.Value)
	}
	b.WriteByte('}')
	return engineflags.JSONText(b.Bytes())
}

// placeholderStarts is how a placeholder begins. An object's brace is always
// followed by a quote, so that in JSON these stand in strings only.
var placeholderStarts = []string{"{py}", "{RD}", "{gpus}", "{ip:", "{port:"}

// sealed is JSON text in which nothing that a user wrote reads as a placeholder:
// the brace is escaped, which means the same.
func sealed(text string) string {
	for _, start := range placeholderStarts {
		text = strings.ReplaceAll(text, start, `\u007b`+start[1:])
	}
	return text
}
