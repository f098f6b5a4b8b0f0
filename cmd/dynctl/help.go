package main

import (
	"fmt"
	"strings"
	"sync"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
)

// addFill is for all commands: cobra has one list of functions in a program, and locks nothing.
var addFill = sync.OnceFunc(func() { cobra.AddTemplateFunc("fill", fill) })

// narrowHelp keeps the help of a command, and of those below it, to 80 columns,
// whatever the width of the terminal: long lines are no easier to read.
func narrowHelp(root *cobra.Command) {
	addFill()
	wrapped := fmt.Sprintf(".FlagUsagesWrapped %d |", defaultWidth)
	root.SetUsageTemplate(strings.NewReplacer(".FlagUsages |", wrapped).Replace(root.UsageTemplate()))
	root.SetHelpTemplate(strings.NewReplacer("(or .Long .Short)}}{{.", "(or .Long .Short)}}{{. | fill").Replace(root.HelpTemplate()))
}

// fill rewraps the paragraphs that have a line wider than 80 columns. Indented
// lines are examples, which stay as they are.
func fill(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if lipgloss.Width(p) > defaultWidth && !strings.Contains("\n"+p, "\n ") && !strings.Contains("\n"+p, "\n\t") {
			paragraphs[i] = strings.Join(breakLines(strings.ReplaceAll(p, "\n", " "), defaultWidth), "\n")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
