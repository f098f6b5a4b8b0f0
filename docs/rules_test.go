package docs

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	numbered = regexp.MustCompile(`(?m)^\s*(\d+)\. `)
	// A mark in the code: `rule 2`, `rules 1 to 3`, `otherwise rule 2`; elsewhere than in the
	// function that has the list `rule 2 of planGates`.
	mark = regexp.MustCompile(`^(?:otherwise )?rules? (\d+)(?: (and|to) (\d+))?(?: of (\w+))?\n?$`)
)

// rulesOf is a numbered list in the head of a function.
type rulesOf struct {
	place  string // the file
	count  int
	marked []int
}

// TestRulesStandInTheirOrder: each rule that the head of a function lists is marked where
// it stands in the code, and they stand there in the order of the list.
func TestRulesStandInTheirOrder(t *testing.T) {
	lists := rulesInCode(t)
	if len(lists) < 14 {
		t.Errorf("only %d lists of rules were found", len(lists))
	}
	for name, list := range lists {
		for n := 1; n <= list.count; n++ {
			if !slices.Contains(list.marked, n) {
				t.Errorf("%s: rule %d of %s is marked nowhere in the code: `// rule %d`", list.place, n, name, n)
			}
		}
		if len(list.marked) > 0 && slices.Max(list.marked) > list.count {
			t.Errorf("%s: %s has %d rules, and rule %d is marked", list.place, name, list.count, slices.Max(list.marked))
		}
	}
}

// TestEveryRuleIsTested: testdata/rules.txt names a test or a story for each rule.
func TestEveryRuleIsTested(t *testing.T) {
	tests := testsAndStories(t)
	file, err := os.Open("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	named := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 3 {
			t.Fatalf("%q: want a function, the number of a rule, and tests or stories", lines.Text())
		}
		named[words[0]+" "+words[1]] = true
		for _, test := range words[2:] {
			if !tests[test] {
				t.Errorf("%s %s: there is no test or story %s", words[0], words[1], test)
			}
		}
	}
	for name, list := range rulesInCode(t) {
		for n := 1; n <= list.count; n++ {
			rule := fmt.Sprintf("%s %d", name, n)
			if !named[rule] {
				t.Errorf("%s: testdata/rules.txt names no test of %s", list.place, rule)
			}
			delete(named, rule)
		}
	}
	for rule := range named {
		t.Errorf("testdata/rules.txt: there is no rule %s", rule)
	}
}

// rulesInCode are the lists of rules of the product, by function.
func rulesInCode(t *testing.T) map[string]*rulesOf {
	t.Helper()
	lists := map[string]*rulesOf{}
	var files []*ast.File
	set := token.NewFileSet()
	for _, name := range codeBelow(t, os.DirFS("..")) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "integration/") {
			continue
		}
		file, err := parser.ParseFile(set, path.Join("..", name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		for f := range functions(file) {
			if found := numbered.FindAllString(f.Doc.Text(), -1); len(found) > 0 {
				lists[f.Name.Name] = &rulesOf{place: name, count: len(found)}
			}
		}
	}
	for _, file := range files {
		for f := range functions(file) {
			readMarks(t, lists, file, f)
		}
	}
	return lists
}

func functions(file *ast.File) func(func(*ast.FuncDecl) bool) {
	return func(yield func(*ast.FuncDecl) bool) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && !yield(f) {
				return
			}
		}
	}
}

// readMarks adds the marks of one function, and wants them in order.
func readMarks(t *testing.T, lists map[string]*rulesOf, file *ast.File, f *ast.FuncDecl) {
	t.Helper()
	last := map[string]int{}
	for _, c := range file.Comments {
		if c.Pos() < f.Pos() || c.Pos() > f.End() {
			continue
		}
		found := mark.FindStringSubmatch(c.Text())
		if found == nil {
			continue
		}
		name := found[4]
		if name == "" {
			name = f.Name.Name
		}
		list := lists[name]
		if list == nil {
			t.Errorf("%s: %q, and %s lists no rules", f.Name.Name, strings.TrimSpace(c.Text()), name)
			continue
		}
		first, _ := strconv.Atoi(found[1])
		end := first
		if found[3] != "" {
			end, _ = strconv.Atoi(found[3])
		}
		if first < last[name] {
			t.Errorf("%s: rule %d of %s stands behind rule %d", f.Name.Name, first, name, last[name])
		}
		last[name] = end
		for n := first; n <= end; n++ {
			list.marked = append(list.marked, n)
		}
	}
}

// testsAndStories are the names of all tests, and of the planner's stories.
func testsAndStories(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	root := os.DirFS("..")
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, name := range codeBelow(t, root) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range test.FindAllSubmatch(text, -1) {
			names[string(found[1])] = true
		}
	}
	stories, err := fs.Glob(root, "actors/plan/testdata/stories/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, name := range stories {
		names[strings.TrimSuffix(path.Base(name), ".txtar")] = true
	}
	return names
}
