package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestFlagUsages: pflag takes what stands in backquotes for the name of the value,
// and prints "--to dynctl history"; a verb without an example leaves people alone.
func TestFlagUsages(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		check := func(f *pflag.Flag) {
			if strings.Contains(f.Usage, "`") {
				t.Errorf("%s --%s: %q holds a backquote, which names the value", cmd.CommandPath(), f.Name, f.Usage)
			}
			if f.Usage == "" {
				t.Errorf("%s --%s has no usage", cmd.CommandPath(), f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(check)
		cmd.PersistentFlags().VisitAll(check)
		ours := cmd.Name() != "completion" && (cmd.Parent() == nil || cmd.Parent().Name() != "completion")
		if ours && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).root())
}
