package main

import (
	"bytes"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
)

// TestHelpFitsTheScreen: no line of any help is wider than 80 columns, and each
// has an example.
func TestHelpFitsTheScreen(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		t.Run(strings.Join(append([]string{"dynctl"}, path...), "_"), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := newApp(strings.NewReader(""), &stdout, &stderr).run(t.Context(), append(path, "--help")); code != exit.OK {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			for line := range strings.SplitSeq(stdout.String(), "\n") {
				if w := lipgloss.Width(line); w > defaultWidth {
					t.Errorf("%d columns: %s", w, line)
				}
			}
			ours := c.GroupID != "" && c.Name() != "help" && c.Name() != "completion"
			if ours && !strings.Contains(stdout.String(), "Examples:") {
				t.Error("no example")
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	root := newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("bash")
	visit(root)
}
