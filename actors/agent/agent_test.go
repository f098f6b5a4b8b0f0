//go:build integration

package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPython runs the agent's own tests (tests/), in part against a real Ray and a real
// nats-server. Each of them is a test here.
func TestPython(t *testing.T) {
	// Not resolved: a link, and the venv is where it lies.
	python, err := filepath.Abs(filepath.Join(cmp.Or(os.Getenv("DYNCTL_VENV"), "../../.venv"), "bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-m", "tests")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run make venv", err)
	}
	ended := 0
	for lines := json.NewDecoder(out); ; ended++ {
		var end struct{ Test, Outcome, Text string }
		if err := lines.Decode(&end); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimPrefix(end.Test, "tests."), func(t *testing.T) {
			if end.Outcome != "pass" { // one that is skipped shows nothing
				t.Errorf("%s: %s", end.Outcome, end.Text)
			}
		})
	}
	if err := cmd.Wait(); err != nil && !t.Failed() {
		t.Errorf("%v\n%s", err, errs.String())
	}
	if ended == 0 {
		t.Errorf("no test ran\n%s", errs.String())
	}
}
