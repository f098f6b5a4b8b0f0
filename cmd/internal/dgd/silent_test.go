package dgd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dynctl/state"
)

// Nothing of a deployment is dropped in silence: whatever is taken out of a document
// changes what it is converted to, or a note, unless a note names what it belongs to.
func TestNothingIsDroppedInSilence(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "silent", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := state.DecodeAny(file, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			testSilent(t, doc.Raw)
		}
	}
}

// needless are fields that another one says as well, or that the caller reads: what a
// component runs tells its kind, and the name of a container which of them it is.
var needless = regexp.MustCompile(`^\.(apiVersion|kind|metadata\.name|spec\.backendFramework)$|\.(componentType|type|valueFrom\.fieldRef.*|containers\[0\]\.name)$` +
	// The interpreter, the shell, and a frontend that runs what it would anyway.
	`|mainContainer\.command\[0\]$|Frontend\..*\.command$|components\[0\].*command\[2\]$` +
	// Below what a note names as a whole.
	`|Worker\..*\.containers\[0\]\.|components\[1\].*containers\[1\]\.|components\[3\]\.`)

// silence takes one field after another out of a document, and wants each to change what
// is converted or to be named in a note.
type silence struct {
	t     *testing.T
	doc   any
	all   string // what is converted of the whole
	notes []string
	taken int
}

func testSilent(t *testing.T, raw json.RawMessage) {
	t.Helper()
	s := &silence{t: t}
	if err := json.Unmarshal(raw, &s.doc); err != nil {
		t.Fatal(err)
	}
	s.all, s.notes = converted(t, s.doc)
	s.below("", s.doc, nil)
	if s.taken < 30 {
		t.Errorf("only %d fields were taken out", s.taken)
	}
}

// below takes out every field below a value; put changes the value itself.
func (s *silence) below(path string, v any, put func(any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			s.takeOut(path+"."+key, x, func(x any) { v[key] = x }, func() { delete(v, key) })
		}
	case []any:
		for i, x := range v {
			s.below(fmt.Sprintf("%s[%d]", path, i), x, func(x any) { v[i] = x })
		}
	case string:
		if strings.HasSuffix(path, "]") { // a word of a command line
			put("x" + v)
			if s.silent(path) {
				s.t.Errorf("%s = %q is dropped in silence", path, v)
			}
			put(v)
		}
	}
}

func (s *silence) takeOut(path string, v any, put func(any), remove func()) {
	remove()
	silent := s.silent(path)
	put(v)
	s.taken++
	if s.named(path[strings.LastIndexByte(path, '.')+1:]) {
		return // with all below it
	}
	if silent {
		s.t.Errorf("%s = %v is dropped in silence", path, v)
	}
	s.below(path, v, put)
}

// silent reports whether the document as it is now converts to the same, though the
// field is not a needless one.
func (s *silence) silent(path string) bool {
	without, _ := converted(s.t, s.doc)
	return without == s.all && !needless.MatchString(path)
}

// named reports whether a note names a field.
func (s *silence) named(key string) bool {
	return slices.ContainsFunc(s.notes, func(note string) bool {
		_, list, ok := strings.Cut(note, "left out, for there is no counterpart: ")
		return ok && slices.ContainsFunc(strings.Split(list, ", "), func(path string) bool {
			return path == key || strings.HasSuffix(path, "."+key)
		})
	})
}

func converted(t *testing.T, doc any) (all string, notes []string) {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Convert(raw, nil)
	out, err2 := json.Marshal([]any{r.Server, r.Models, r.Notes, fmt.Sprint(err)})
	if err2 != nil {
		t.Fatal(err2)
	}
	return string(out), r.Notes
}
