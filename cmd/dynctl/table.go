package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"dynctl/cmd/internal/screen"
)

// table is text in columns; cells may hold colours.
type table struct {
	rows [][]string
	// spare are the columns that a narrow screen goes without, the first to go
	// first.
	spare []int
}

// lastColumn is the least width in which the text of a last column is readable.
const lastColumn = 24

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table for whoever reads the stream: a person at a terminal, or a
// program.
func (t *table) write(w io.Writer) {
	if isTerminal(w) { // as wide as they will be shown
		for _, row := range t.rows {
			for i, cell := range row {
				row[i] = screen.Clean(cell)
			}
		}
	}
	t.fit(w, columns(w))
}

// fit prints the columns two blanks apart. Empty trailing cells leave no blanks.
// With a width (0: there is none) no line is longer: spare columns go, then the
// last column is folded, beside the others or, where they leave too little room,
// below them.
func (t *table) fit(w io.Writer, width int) {
	for _, row := range t.rowLines(width) {
		for _, line := range row {
			fmt.Fprintln(w, line)
		}
	}
}

// rowLines are the lines of each row.
func (t *table) rowLines(width int) [][]string {
	rows, widths := t.rows, columnWidths(t.rows)
	if width > 0 {
		rows, widths = t.without(width, widths)
	}
	last := len(widths) - 1
	room := width - sum(widths[:max(last, 0)]) - 2*last
	out := make([][]string, 0, len(rows))
	for _, row := range rows {
		switch {
		case width == 0 || len(row) <= last || last == 0 || fits(row[last], room):
			out = append(out, fold(joinRow(row, widths), width))
		case room >= max(lastColumn, longestWord(row[last])):
			out = append(out, beside(row, widths, room))
		default:
			indent := row[0][:len(row[0])-len(strings.TrimLeft(row[0], " "))] + strings.Repeat(" ", 4)
			lines := fold(joinRow(row[:last], widths), width)
			out = append(out, append(lines, strings.Split(wrap(row[last], indent, width), "\n")...))
		}
	}
	return out
}

func fits(cell string, room int) bool {
	return lipgloss.Width(cell) <= room && !strings.Contains(cell, "\n")
}

func longestWord(cell string) (n int) {
	for word := range strings.FieldsSeq(cell) {
		n = max(n, lipgloss.Width(word))
	}
	return n
}

// beside folds the last cell within its column.
func beside(row []string, widths []int, room int) []string {
	last := len(row) - 1
	var lines []string
	for i, text := range breakLines(row[last], room) {
		cells := make([]string, last, last+1)
		if i == 0 {
			copy(cells, row)
		}
		lines = append(lines, joinRow(append(cells, text), widths))
	}
	return lines
}

// without leaves out spare columns until the rows fit, counting as much of the
// last column as is needed to read it.
func (t *table) without(width int, widths []int) (rows [][]string, left []int) {
	rows, left = t.rows, widths
	gone := []int{}
	for _, column := range t.spare {
		last := len(left) - 1
		if sum(left[:last])+2*last+min(left[last], lastColumn) <= width {
			break
		}
		gone = append(gone, column)
		rows = nil
		for _, row := range t.rows {
			var kept []string
			for i, cell := range row {
				if !slices.Contains(gone, i) {
					kept = append(kept, cell)
				}
			}
			rows = append(rows, kept)
		}
		left = columnWidths(rows)
	}
	return rows, left
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	return widths
}

func joinRow(row []string, widths []int) string {
	var line strings.Builder
	for i, cell := range row {
		line.WriteString(cell)
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// fold breaks a line that no column could make fit.
func fold(line string, width int) []string {
	if width == 0 || lipgloss.Width(line) <= width {
		return []string{line}
	}
	return breakLines(line, width)
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// lines are those of all rows.
func (t *table) lines(width int) []string { return slices.Concat(t.rowLines(width)...) }
