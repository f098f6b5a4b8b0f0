package docs_test

import (
	"strings"
	"testing"
)

// TestSecurityNamesItsTests: each row of docs/security.md on what stops somebody names
// tests that exist, or a page that does.
func TestSecurityNamesItsTests(t *testing.T) {
	known := tests(t)
	rows := 0
	for line := range strings.SplitSeq(read(t, "docs/security.md"), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || cells[0] == "who" {
			continue
		}
		rows++
		named := testName.FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 && !strings.Contains(cells[3], "limits.md") {
			t.Errorf("no test is named: %s", line)
		}
		for _, name := range named {
			if !known[name[1]] {
				t.Errorf("there is no %s: %s", name[1], line)
			}
		}
	}
	if rows < 15 {
		t.Errorf("%d rows", rows)
	}
}
