package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+|test_[a-z0-9_]+)`")

// TestLimitsNameTheirTests: each row of docs/limits.md names what happens at the
// bound, and tests that exist.
func TestLimitsNameTheirTests(t *testing.T) {
	known := tests(t)
	rows := 0
	for line := range strings.SplitSeq(read(t, "docs/limits.md"), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| bound |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 {
			t.Errorf("want bound, value, what happens, tested by: %s", line)
			continue
		}
		named := testName.FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 && cells[3] != "NATS' own" && cells[3] != "none of its own" {
			t.Errorf("no test is named: %s", line)
		}
		for _, name := range named {
			if !known[name[1]] {
				t.Errorf("there is no %s: %s", name[1], line)
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows", rows)
	}
}

// tests are the names of all tests of the repository, Go's and Python's.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^\s*(?:async )?(?:func|def) ((?:Test|Fuzz|Benchmark|test_)[A-Za-z0-9_]*)\(`)
	out := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go") && (!strings.HasPrefix(d.Name(), "test_") || !strings.HasSuffix(path, ".py")):
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			out[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
