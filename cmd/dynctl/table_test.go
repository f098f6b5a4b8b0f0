package main

import (
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"pgregory.net/rapid"
)

// TestTableFits has one row for each way to fit.
func TestTableFits(t *testing.T) {
	long := "one two three four five six seven eight nine ten"
	for name, row := range map[string]struct {
		cells []string
		spare []int
		width int
		want  string
	}{
		"no width, no change": {[]string{"name", "x", long}, nil, 0, "name  x  " + long},
		"it fits":             {[]string{"name", "x", "y"}, []int{1}, 40, "name  x  y"},
		"a spare column goes, then the last is folded": {[]string{"name", "spare column", long}, []int{1}, 40,
			"name  one two three four five six seven\n      eight nine ten"},
		"the last goes below": {[]string{"a-name-that-is-rather-long", "xyz", long}, nil, 40,
			"a-name-that-is-rather-long  xyz\n    one two three four five six seven\n    eight nine ten"},
		"a line of its own in a cell": {[]string{"name", "x\ny"}, nil, 40, "name  x\n      y"},
		"flags are not broken":        {[]string{"name", "see the --advertise-nats-url-and-more"}, nil, 40, "name  see the\n      --advertise-nats-url-and-more"},
	} {
		t.Run(name, func(t *testing.T) {
			table := table{rows: [][]string{row.cells}, spare: row.spare}
			if got := strings.Join(table.lines(row.width), "\n"); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// TestTableNeverWider: whatever the cells, no line is wider than the screen, and
// no word of a column that stays is lost.
func TestTableNeverWider(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(narrowest, 200).Draw(t, "width")
		columns := rapid.IntRange(1, 6).Draw(t, "columns")
		table := table{}
		var words strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "rows") {
			var row []string
			for range columns {
				cell := rapid.StringMatching(`([a-z0-9_/-]{1,30} ?){1,4}`).Draw(t, "cell")
				row = append(row, cell)
				words.WriteString(strings.ReplaceAll(cell, " ", ""))
			}
			table.add(row...)
		}
		got := strings.Join(table.lines(width), "\n")
		if w := lipgloss.Width(got); w > width {
			t.Fatalf("%d columns on a screen of %d:\n%s", w, width, got)
		}
		if have := count(len(strings.NewReplacer(" ", "", "\n", "").Replace(got))); have != count(words.Len()) {
			t.Fatalf("%s characters of %d are left:\n%s", have, words.Len(), got)
		}
	})
}
