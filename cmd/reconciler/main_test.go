package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"dynctl/cmd/internal/version"
)

// TestVersion: --version tells the version of the build and starts nothing,
// whatever else is said.
func TestVersion(t *testing.T) {
	version.Value = "v1.2.3"
	defer func() { version.Value = "" }()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--version", "--http", "nonsense"}, &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if got := stdout.String(); !strings.HasPrefix(got, "reconciler v1.2.3") {
		t.Errorf("got %q", got)
	}
	if code := run(t.Context(), []string{"--http", "nonsense"}, &stdout, &stderr); code != 2 {
		t.Errorf("exit code %d for a wrong flag, want 2", code)
	}
}

// TestBuildSetsTheVersion: the variable that make build sets is the one that is
// read; the linker says nothing about one that does not exist.
func TestBuildSetsTheVersion(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "-X dynctl/cmd/internal/version.Value=$(VERSION)") {
		t.Error("make build does not set dynctl/cmd/internal/version.Value")
	}
}
