package main

import (
	"io"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
)

// palette colours text for a person at a terminal, and leaves it alone for
// everybody else.
type palette struct{ on bool }

// colourful reports whether colour may be written to a stream: only to a terminal,
// and never when NO_COLOR is set (https://no-color.org).
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (p palette) render(s lipgloss.Style, text string) string {
	if !p.on || text == "" {
		return text
	}
	lines := strings.Split(text, "\n") // as a block they would be padded to one width
	for i, line := range lines {
		lines[i] = s.Render(line)
	}
	return strings.Join(lines, "\n")
}

func (p palette) good(t string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Green), t)
}

func (p palette) bad(t string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Red), t)
}

func (p palette) warn(t string) string {
	return p.render(lipgloss.NewStyle().Foreground(lipgloss.Yellow), t)
}

func (p palette) bold(t string) string { return p.render(lipgloss.NewStyle().Bold(true), t) }
func (p palette) dim(t string) string  { return p.render(lipgloss.NewStyle().Faint(true), t) }
