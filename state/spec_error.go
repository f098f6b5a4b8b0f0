package state

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SpecError is one place of a document that cannot be read.
type SpecError struct {
	File string
	// Line and Column are from 1; 0 where the whole file is meant.
	Line, Column int
	// Snippet is the line with a caret under the column, in two lines.
	Snippet string
	Message string
	// Hint says what to do; may be empty.
	Hint string
	// rule is what the place breaks, where the document can be read.
	rule *Invalid
	// more is how many faults this one stands for; they are counted and not told.
	more int
}

// Unwrap is the rule that the place breaks, so that [ReasonOf] finds its reason;
// nil where the document cannot be read.
func (e *SpecError) Unwrap() error {
	if e.rule == nil {
		return nil
	}
	return e.rule
}

// Error is "file:line:column: message; hint", with the snippet below it.
func (e *SpecError) Error() string {
	if e.more > 0 {
		return e.File + ": and " + thousands(e.more) + " more"
	}
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Message)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	if e.Snippet != "" {
		b.WriteString("\n" + e.Snippet)
	}
	return b.String()
}

// source is the text of a file, for positions and snippets.
type source struct {
	file  string
	lines []string
	// told counts the faults that were found in the file.
	told int
}

func newSource(file string, data []byte) *source {
	return &source{file: file, lines: strings.Split(string(data), "\n")}
}

// maxSnippet is how many characters of a line a snippet shows.
const maxSnippet = 120

// snippet is a line with a caret under a column; empty outside of the file.
func (s *source) snippet(line, col int) string {
	if s == nil || line < 1 || line > len(s.lines) {
		return ""
	}
	// A long line (JSON may be all one line) is shown around the column.
	start := 0
	if col > maxSnippet*3/4 {
		start = col - maxSnippet/2
	}
	safe := hideSecrets(s.lines[line-1], func(secret string) string { // as long as it is, for the caret
		return strings.Repeat("x", utf8.RuneCountInString(secret))
	})
	text := window(safe, start, maxSnippet)
	col = max(1, min(col, start+len(text)+1))
	var shown, pad strings.Builder
	for i, r := range text {
		switch {
		case r == '\t':
			r = ' '
		case Hidden(r):
			r = utf8.RuneError
		}
		shown.WriteRune(r)
		if start+i+1 < col {
			pad.WriteByte(' ')
		}
	}
	prefix := fmt.Sprintf("%5d | ", line)
	return prefix + shown.String() + "\n" + strings.Repeat(" ", len(prefix)-2) + "| " + pad.String() + "^"
}

// window is up to n characters of a line from the one at start on. What is no UTF-8
// is one replacement character a byte.
func window(line string, start, n int) []rune {
	var text []rune
	for _, r := range line {
		if start > 0 {
			start--
			continue
		}
		if text = append(text, r); len(text) == n {
			break
		}
	}
	return text
}

// full counts a fault, and reports whether enough of the file's were told before it.
func (s *source) full() bool {
	s.told++
	return s.told > MaxFaults
}

// counted stands for a fault that is not told.
func (s *source) counted() *SpecError { return &SpecError{File: s.file, more: 1} }

// errorAt is a fault at a place of the file; one of many only counts.
func (s *source) errorAt(line, col int, message, hint string) *SpecError {
	if s.full() {
		return s.counted()
	}
	return s.place(line, col, Clip(Visible(HideSecrets(message)), maxText), Clip(Visible(HideSecrets(hint)), maxText))
}

func (s *source) place(line, col int, message, hint string) *SpecError {
	return &SpecError{
		File: s.file, Line: line, Column: col,
		Snippet: s.snippet(line, col), Message: message, Hint: hint,
	}
}
