//go:build integration

package engineflags

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// The recorded tables that can be read from the pinned environment are what it says.
func TestRecordedTablesAreWhatTheVenvSays(t *testing.T) {
	// Read as the agent reads it: on Python 3.10 no option keeps the directory of a script
	// out of its path.
	source, err := os.ReadFile("../../actors/agent/dynctl_agent/recordflags.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{Mocker, Frontend, TRTLLM, Processor(SGLang)} {
		cmd := exec.Command(cmp.Or(os.Getenv("DYNCTL_VENV"), ".venv")+"/bin/python", "-c", string(source), program)
		cmd.Dir = "../.."
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v (make venv makes the environment)\n%s", program, err, stderr.String())
		}
		want, err := os.ReadFile("recorded/" + program + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the table of %s is not what its parser says: make engine-flags", program)
		}
	}
}
