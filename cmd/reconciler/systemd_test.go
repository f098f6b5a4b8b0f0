package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSystemdUnit: the command of the unit runs and accepts a spec, and systemd, where
// it is installed, finds the unit valid and little exposed.
func TestSystemdUnit(t *testing.T) {
	unit := filepath.Join("..", "..", "deploy", "systemd", "dynctl-reconciler.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	_, command, found := strings.Cut(string(text), "\nExecStart=/usr/local/bin/reconciler ")
	command, _, _ = strings.Cut(command, "\n")
	rest, state := strings.CutPrefix(command, "--data-dir ${STATE_DIRECTORY} ")
	flags, args := strings.CutSuffix(rest, " $RECONCILER_ARGS")
	if !found || !state || !args {
		t.Fatalf("the unit runs %q", command)
	}
	p := runProgram(t, t.TempDir(), strings.Fields(flags)...)
	c := p.client()
	defer c.Close()
	accepted(t, p, c, "m")

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze here: the unit's settings were not looked at")
		return
	}
	// 2.0 of 10 and below is "OK"; the network that it needs is 0.8 of it.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", unit).CombinedOutput(); err != nil {
		t.Errorf("exposed: %v\n%s", err, out)
	}
	// Installed where the test can write, for verify wants the program to be there.
	installed := filepath.Join(t.TempDir(), filepath.Base(unit))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(installed, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/reconciler", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", installed).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("not valid: %v\n%s", err, out)
	}
}
