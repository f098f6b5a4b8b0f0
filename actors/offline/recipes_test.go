package offline

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dynctl/state"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestRecipes renders the public recipes of examples/recipes on nodes large enough
// and holds every worker to two records: "argv", which -update-rendered writes, and
// "words ROLE", which was written from the public recipe and not from what we render.
func TestRecipes(t *testing.T) {
	specs, err := filepath.Glob(filepath.Join("..", "..", "examples", "recipes", "*.yaml"))
	if err != nil || len(specs) < 12 {
		t.Fatalf("%d recipes: %v", len(specs), err)
	}
	for _, spec := range specs {
		name := strings.TrimSuffix(filepath.Base(spec), ".yaml")
		t.Run(name, func(t *testing.T) { testRecipe(t, spec, filepath.Join("testdata", "recipes", name+".txtar")) })
	}
}

func testRecipe(t *testing.T, spec, record string) {
	r := readRecipe(t, record)
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := state.Decode(spec, text)
	if err != nil {
		t.Fatal(err)
	}
	out := Render(Input{Docs: docs, Nodes: r.nodes})
	if len(out.Rejected) > 0 || len(out.Pending) > 0 || len(out.Warnings) > 0 {
		t.Fatalf("rejected %v\npending %v\nwarnings %v", out.Rejected, out.Pending, out.Warnings)
	}
	heldToWords(t, out.Actors, r.words)

	got := writtenOut(out.Actors)
	if *updateRendered {
		r.archive.Files = append(r.archive.Files, txtar.File{Name: "argv", Data: []byte(got)})
		if err := os.WriteFile(record, txtar.Format(r.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != r.argv {
		t.Errorf("%s\n(go test ./actors/offline -run TestRecipes -update-rendered)", firstDifference(got, r.argv))
	}
}

// recipeRecord is what a rendered recipe is held to.
type recipeRecord struct {
	archive *txtar.Archive // without "argv"
	nodes   []state.Node
	words   map[string][]string // by role
	argv    string
}

func readRecipe(t *testing.T, path string) recipeRecord {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := recipeRecord{archive: archive, words: map[string][]string{}}
	for _, f := range archive.Files {
		switch role, of := strings.CutPrefix(f.Name, "words "); {
		case of:
			r.words[role] = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case f.Name == "nodes.json":
			if err := json.Unmarshal(f.Data, &r.nodes); err != nil {
				t.Fatal(err)
			}
		case f.Name == "argv":
			r.argv = string(f.Data)
		}
	}
	archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "argv" })
	return r
}

// heldToWords wants every line of a role in each process of that role, and the lines
// of "frontend" in the frontend. A line is a flag with its values, or NAME=VALUE for
// a variable.
func heldToWords(t *testing.T, actors []RenderedActor, words map[string][]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range actors {
		role, ok := recipeRole(a)
		if !ok {
			continue
		}
		seen[role] = true
		if len(words[role]) == 0 && role != "frontend" {
			t.Errorf("%s: no words of its role %q", a.Name, role)
		}
		for _, line := range words[role] {
			if err := stands(a, line); err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
		}
	}
	for role := range words {
		if !seen[role] {
			t.Errorf("words of %q, but no such process", role)
		}
	}
}

// recipeRole is the section of the words that a process is held to. Followers of a
// worker over several nodes are started with the same words as their leader.
func recipeRole(a RenderedActor) (string, bool) {
	if len(a.Argv) < 3 || a.Argv[1] != "-m" {
		return "", false
	}
	if a.Argv[2] == "dynamo.frontend" {
		return "frontend", true
	}
	if i := slices.Index(a.Argv, "--disaggregation-mode"); i >= 0 {
		return a.Argv[i+1], true
	}
	return "worker", true
}

// stands reports what keeps a line of the recipe from standing in a process.
func stands(a RenderedActor, line string) error {
	if !strings.HasPrefix(line, "--") {
		name, want, _ := strings.Cut(line, "=")
		if got, ok := a.Env[name]; !ok || got.Value != want {
			return fmt.Errorf("variable %s is %q, the recipe has %q", name, got.Value, want)
		}
		return nil
	}
	flag, want, _ := strings.Cut(line, " ")
	i := slices.Index(a.Argv, flag)
	if i < 0 {
		return fmt.Errorf("%s of the recipe is missing", flag)
	}
	values := a.Argv[i+1:]
	if end := slices.IndexFunc(values, func(w string) bool { return strings.HasPrefix(w, "--") }); end >= 0 {
		values = values[:end]
	}
	if got := strings.Join(values, " "); got != want && !sameObject(got, want) {
		return fmt.Errorf("%s is %q, the recipe has %q", flag, got, want)
	}
	return nil
}

// sameObject reports whether both texts are JSON objects with the same contents.
func sameObject(a, b string) bool {
	var x, y map[string]any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// writtenOut are the command lines of the engines and the frontend, a flag a line,
// with the variables that are set.
func writtenOut(actors []RenderedActor) string {
	var b strings.Builder
	for _, a := range actors {
		if _, ok := recipeRole(a); !ok {
			continue
		}
		fmt.Fprintf(&b, "%s (%d GPUs, bundle %d)", a.Name, a.GPUs, a.Bundle)
		for i, word := range a.Argv {
			if i == 0 || strings.HasPrefix(word, "--") {
				b.WriteString("\n ")
			}
			b.WriteString(" " + word)
		}
		for _, name := range slices.Sorted(maps.Keys(a.Env)) {
			fmt.Fprintf(&b, "\n  %s=%s", name, a.Env[name].Value)
		}
		b.WriteString("\n\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
