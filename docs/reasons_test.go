package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

const statusPage = "docs/status.md"

// groups are the tables of docs/status.md with where their reasons are declared:
// the constants of a file, in one of its blocks or in all of them.
var groups = []struct {
	title, file string
	block       int    // counted from 1; 0: all
	prefix      string // of the constants' names
}{
	{"rejections", "state/reasons.go", 0, "Reason"},
	{"placement", "actors/reasons.go", 3, "Reason"},
	{"waits", "actors/reasons.go", 2, "Wait"},
	{"ray", "actors/reasons_ray.go", 0, ""},
	{"conditions", "actors/reasons_conditions.go", 0, "Cond"},
	{"actions", "actors/reasons.go", 1, "Reason"},
	{"exits", "actors/reason_text.go", 0, ""},
}

// constants are the values of the string constants of a Go file whose names begin
// with a prefix, in their order.
func constants(t *testing.T, file string, block int, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	n := 0
	for _, decl := range parsed.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		n++
		if block != 0 && n != block {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				lit, ok := v.Values[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING || !strings.HasPrefix(name.Name, prefix) {
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, text)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s: no constants %s*", file, prefix)
	}
	return out
}

// Every reason constant is explained, in the program and in docs/status.md, whose
// tables are written by `go test ./docs -run TestReasons -update`.
func TestReasons(t *testing.T) {
	page := read(t, statusPage)
	known := map[string]bool{}
	for _, g := range groups {
		var b strings.Builder
		b.WriteString("| reason | what it means, and the way out |\n|---|---|\n")
		for _, reason := range constants(t, g.file, g.block, g.prefix) {
			known[reason] = true
			text := actors.ReasonText(reason)
			if text == "" {
				t.Errorf("%s: the reason %s has no text: add it to reasonTexts", g.file, reason)
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", reason, text)
		}
		page = between(t, page, g.title, b.String())
	}
	var facts strings.Builder
	facts.WriteString("| reason | what it means |\n|---|---|\n")
	for _, reason := range actors.Reasons() {
		if !known[reason] {
			fmt.Fprintf(&facts, "| `%s` | %s |\n", reason, actors.ReasonText(reason))
		}
	}
	page = between(t, page, "facts", facts.String())
	compare(t, statusPage, page)
}

// between replaces what stands between the marks of a generated part.
func between(t *testing.T, page, title, content string) string {
	t.Helper()
	begin, end := "<!-- "+title+": generated -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("no part %q between %q and %q", title, strings.TrimSpace(begin), end)
	}
	return head + begin + content + end + tail
}

func compare(t *testing.T, page, want string) {
	t.Helper()
	if want == read(t, page) {
		return
	}
	if !*update {
		t.Errorf("%s is not what the code says: go test ./docs -update", page)
		return
	}
	if err := os.WriteFile(filepath.Join(root, page), []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Reasons that are literals, in the reconciler and in the agent, are explained too.
func TestReasonLiterals(t *testing.T) {
	places := map[string]*regexp.Regexp{
		"cmd/reconciler/app/*.go":                regexp.MustCompile(`Reason(?::|\s*=)\s*"(\w+)"`),
		"actors/plan/*.go":                       regexp.MustCompile(`Reason:\s*"(\w+)"`),
		"actors/agent/dynctl_agent/*/*.py":       regexp.MustCompile(`(?:\.fact\(|"reason": |give_up\((?:self\.)?live, |unit\.reason, unit\.message = True, )"([A-Z]\w+)"`),
		"actors/agent/dynctl_agent/actor/h*.py":  regexp.MustCompile(`(?m)^[A-Z_]+ = "([A-Z]\w+)"$`),
		"actors/agent/dynctl_agent/actor/ex*.py": regexp.MustCompile(`\("(Killed)" if code < 0 else "Exited"\)`),
	}
	for pattern, literal := range places {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range literal.FindAllStringSubmatch(string(b), -1) {
				found++
				if actors.ReasonText(m[1]) == "" {
					t.Errorf("%s: the reason %s has no text: add it to reasonTexts in actors", f, m[1])
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: no reasons found by %s", pattern, literal)
		}
	}
}

// Every type of condition has a row in the contract, and no other has.
func TestConditionTypes(t *testing.T) {
	types := constants(t, "state/status.go", 0, "Cond")
	row := regexp.MustCompile("(?m)^\\| `([A-Z]\\w+)` \\| (Server|Model|both)")
	var rows []string
	for _, m := range row.FindAllStringSubmatch(read(t, statusPage), -1) {
		rows = append(rows, m[1])
	}
	for _, typ := range types {
		if !slices.Contains(rows, typ) {
			t.Errorf("%s has no row for the condition %s", statusPage, typ)
		}
	}
	for _, r := range rows {
		if !slices.Contains(types, r) {
			t.Errorf("%s has a row for %s, which is no condition", statusPage, r)
		}
	}
}

// Every reason that troubleshooting speaks of exists.
func TestTroubleshootingReasons(t *testing.T) {
	heading := regexp.MustCompile("(?m)^### (.*)$")
	code := regexp.MustCompile("`([A-Z]\\w+)`")
	found := 0
	for _, m := range heading.FindAllStringSubmatch(read(t, "docs/troubleshooting.md"), -1) {
		for _, c := range code.FindAllStringSubmatch(m[1], -1) {
			found++
			if actors.ReasonText(c[1]) == "" {
				t.Errorf("docs/troubleshooting.md: no such reason %s", c[1])
			}
		}
	}
	if found == 0 {
		t.Error("docs/troubleshooting.md names no reason in a heading")
	}
	if !slices.Contains(state.Reasons(), state.ReasonSlugConflict) {
		t.Error("state.Reasons is incomplete")
	}
}
