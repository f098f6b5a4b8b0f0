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

func testSilent(t *testing.T, raw json.RawMessage) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	all, notes := converted(t, doc)
	named := func(key string) bool {
		return slices.ContainsFunc(notes, func(note string) bool {
			_, list, ok := strings.Cut(note, "left out, for there is no counterpart: ")
			return ok && slices.ContainsFunc(strings.Split(list, ", "), func(path string) bool {
				return path == key || strings.HasSuffix(path, "."+key)
			})
		})
	}
	taken := 0
	var walk func(path string, v any, put func(any), remove func())
	walk = func(path string, v any, put func(any), remove func()) {
		if remove != nil {
			remove()
			without, _ := converted(t, doc)
			put(v)
			taken++
			key := path[strings.LastIndexByte(path, '.')+1:]
			switch {
			case named(key):
				return // with all below it
			case without == all && !needless.MatchString(path):
				t.Errorf("%s = %v is dropped in silence", path, v)
			}
		}
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				walk(path+"."+key, below, func(x any) { v[key] = x }, func() { delete(v, key) })
			}
		case []any:
			for i, below := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), below, func(x any) { v[i] = x }, nil)
			}
		case string:
			if strings.HasSuffix(path, "]") { // a word of a command line
				put("x" + v)
				if without, _ := converted(t, doc); without == all && !needless.MatchString(path) {
					t.Errorf("%s = %q is dropped in silence", path, v)
				}
				put(v)
			}
		}
	}
	walk("", doc, nil, nil)
	if taken < 30 {
		t.Errorf("only %d fields were taken out", taken)
	}
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
