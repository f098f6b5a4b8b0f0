package docs_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated tables")

const root = ".."

// pages are all pages of the documentation, relative to the root.
func pages(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "examples/*/*.md", "examples/*/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rel)
		}
	}
	slices.Sort(out)
	return out
}

func read(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fence is a block of code in a page.
type fence struct {
	line int
	// info is what stands behind the opening: the language, then attributes.
	info []string
	body []string
}

func (f fence) language() string {
	if len(f.info) == 0 {
		return ""
	}
	return f.info[0]
}

// title is the file that a block stands for: ```yaml title=model.yaml.
func (f fence) title() string {
	for _, word := range f.info {
		if name, ok := strings.CutPrefix(word, "title="); ok {
			return name
		}
	}
	return ""
}

func fences(text string) []fence {
	var out []fence
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		rest, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &fence{line: i + 1, info: strings.Fields(rest)}
		case isFence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.body = append(open.body, line)
		}
	}
	return out
}

// prose is a page without its blocks of code.
func prose(text string) string {
	var out []string
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			continue
		}
		if !code {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

var link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

// Every relative link leads to a file, and every anchor to a heading of it.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(prose(read(t, page)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
}

// anchors are the names that GitHub gives the headings of a page.
func anchors(text string) []string {
	var out []string
	for line := range strings.SplitSeq(prose(text), "\n") {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, heading))
	}
	return out
}

// Mermaid ends a statement at a semicolon, also within a label, and then draws
// nothing.
func TestDiagrams(t *testing.T) {
	diagrams := 0
	for _, page := range pages(t) {
		for _, f := range fences(read(t, page)) {
			if f.language() != "mermaid" {
				continue
			}
			diagrams++
			for i, line := range f.body {
				if strings.Contains(line, ";") {
					t.Errorf("%s:%d: a semicolon in a diagram: %s", page, f.line+i+1, line)
				}
			}
		}
	}
	if diagrams == 0 {
		t.Error("no page has a diagram")
	}
}

// What was pasted from a machine does not tell which one.
func TestNoMachinePaths(t *testing.T) {
	bad := regexp.MustCompile(`/root/|/work/|/home/[a-z]|@vm\b|vm-\d`)
	for _, page := range pages(t) {
		for i, line := range strings.Split(read(t, page), "\n") {
			if m := bad.FindString(line); m != "" {
				t.Errorf("%s:%d holds %q, which is one machine's", page, i+1, m)
			}
		}
	}
}

// No two decision records have one number; each is dated and says what else was
// thought of.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs", "adr", "[0-9]*.md"))
	files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == "0000-template.md" })
	if err != nil || len(files) == 0 {
		t.Fatalf("no decision records: %v", err)
	}
	dated := regexp.MustCompile(`(?m)^Date: 20\d\d-\d\d-\d\d\. Status: (accepted|superseded by \d{4})\.$`)
	index := read(t, "docs/adr/README.md")
	before := ""
	for _, f := range files {
		name := filepath.Base(f)
		number, _, _ := strings.Cut(name, "-")
		if number == before {
			t.Errorf("%s: the number is another's already", name)
		}
		before = number
		text := read(t, "docs/adr/"+name)
		if !dated.MatchString(text) {
			t.Errorf("%s has no line `Date: YYYY-MM-DD. Status: accepted.`", name)
		}
		for _, heading := range []string{"## Why a decision was needed", "## Decision", "## What else was considered", "## What follows"} {
			if !strings.Contains(text, "\n"+heading+"\n") {
				t.Errorf("%s has no heading %q", name, heading)
			}
		}
		if !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	}
}
