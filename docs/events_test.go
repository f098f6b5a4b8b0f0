package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"dynctl/events"
)

const eventsPage = "docs/events.md"

// example is one event of the catalogue.
type example struct {
	typ      string
	document []byte
}

// examples are the sections of the catalogue with the first JSON block of each;
// document is empty where there is none.
func examples(t *testing.T) []example {
	t.Helper()
	var out []example
	heading := regexp.MustCompile("^### `([a-z-]+)`$")
	var code []string
	in := false
	for line := range strings.SplitSeq(read(t, eventsPage), "\n") {
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			out = append(out, example{typ: m[1]})
		case line == "```json":
			in, code = true, nil
		case line == "```" && in:
			in = false
			if last := len(out) - 1; last >= 0 && out[last].document == nil {
				out[last].document = []byte(strings.Join(code, "\n"))
			}
		case in:
			code = append(code, line)
		}
	}
	return out
}

// The catalogue has every word of the vocabulary, and each example is an event of
// the type that its heading names.
func TestEventCatalogue(t *testing.T) {
	vocabulary := constants(t, "events/events.go", 0, "Type")
	var listed []string
	for _, x := range examples(t) {
		listed = append(listed, x.typ)
		switch {
		case !slices.Contains(vocabulary, x.typ):
			t.Errorf("%s: %s is no type of event", eventsPage, x.typ)
		case x.document == nil:
			t.Errorf("%s: %s has no example", eventsPage, x.typ)
		default:
			e, err := events.Decode(x.document)
			if err != nil {
				t.Errorf("%s: the example of %s: %v", eventsPage, x.typ, err)
			} else if e.Type != x.typ {
				t.Errorf("%s: the example of %s is a %s", eventsPage, x.typ, e.Type)
			} else if events.IsCommand(e.Type) != (len(e.Data.Command) > 0) {
				t.Errorf("%s: the example of %s: a command, and only that, has a payload", eventsPage, x.typ)
			}
		}
	}
	for _, typ := range vocabulary {
		if !slices.Contains(listed, typ) {
			t.Errorf("%s does not describe %s", eventsPage, typ)
		}
	}
	if !slices.IsSorted(listed[3:]) {
		t.Errorf("%s: the facts are not in the order of their names", eventsPage)
	}
}
