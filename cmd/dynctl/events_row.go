package main

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/events"
)

// eventRow are the widths of the first columns of an event; a longer cell moves
// what follows.
const eventRow = "%-20s  %-18s  %-32s  %s"

// eventCells are the columns of an event: time, type, object, and why.
func (p palette) eventCells(e events.Event) (cells [4]string) {
	text := p.bold(e.Data.Reason)
	if e.Data.Message != "" {
		text = strings.TrimPrefix(text+": "+prose.FirstLine(e.Data.Message), ": ")
	}
	return [4]string{e.Time.UTC().Format(time.RFC3339), e.Type, prose.OrDash(eventObject(e)), prose.OrDash(text)}
}

// row is one event for a screen of a width (0: there is none): on one line where
// that fits, else with the reason on lines of its own.
func (p *eventPrinter) row(cells [4]string) string {
	line := fmt.Sprintf(eventRow, cells[0], cells[1], cells[2], cells[3])
	if p.width == 0 || p.width >= 2*defaultWidth && lipgloss.Width(line) <= p.width {
		return line
	}
	head := strings.TrimRight(fmt.Sprintf("%-20s  %-18s  %s", cells[0], cells[1], cells[2]), " ")
	indent := strings.Repeat(" ", 4)
	if lipgloss.Width(head) > p.width {
		head = wrap(fmt.Sprintf("%-20s  %s", cells[0], cells[1]), "", p.width) + "\n" + wrap(cells[2], indent, p.width)
	}
	return head + "\n" + wrap(cells[3], indent, p.width)
}
