//go:build integration

package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// needed are the packages of the pinned list that the agent needs where it only begins
// to run: Ray without its dashboard, and nats-py. Dynamo is 600 MB more.
var needed = []string{
	"ray", "nats-py", "click", "filelock", "jsonschema", "jsonschema-specifications", "referencing", "rpds-py", "attrs", "msgpack",
	"packaging", "protobuf", "pyyaml", "requests", "certifi", "charset-normalizer", "idna", "urllib3", "typing-extensions",
}

// anywhere are those of the agent's own tests that need no Ray cluster.
var anywhere = []string{"actor", "cause", "commands", "config", "drain", "environ", "events", "logread", "ports", "process", "rooms", "travel"}

// TestAnotherPython runs what of the agent's own tests needs no cluster, among them that
// of what travels by value, with another Python than the rest of the tests. A machine
// that has none passes as "none_found": make test says which it was.
func TestAnotherPython(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	venv := cmp.Or(os.Getenv("DYNCTL_VENV"), filepath.Join(root, ".venv"))
	out, err := exec.CommandContext(t.Context(), filepath.Join(venv, "bin/python"), "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Fatalf("%v: run make venv", err)
	}
	for _, version := range []string{"3.13", "3.12", "3.14", "3.10", "3.11"} {
		find := exec.CommandContext(t.Context(), "deploy/python/find.sh", version)
		find.Dir = root
		if found, err := find.Output(); err == nil && version != strings.TrimSpace(string(out)) {
			_, python, _ := strings.Cut(strings.TrimSpace(string(found)), " ")
			t.Run(version, func(t *testing.T) { anotherPython(t, root, python, filepath.Join(venv, "bin/uv")) })
			return
		}
	}
	t.Run("none_found", func(t *testing.T) { t.Log("no second Python from 3.10 to 3.14 with venv on this machine") })
}

func anotherPython(t *testing.T, root, python, uv string) {
	dir := filepath.Join(t.TempDir(), "venv")
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	all, err := os.ReadFile(filepath.Join(root, "deploy/python/requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "requirements.txt")
	if err := os.WriteFile(list, of(all, needed), 0o600); err != nil {
		t.Fatal(err)
	}
	run(python, "-m", "venv", "--without-pip", dir)
	run(uv, "pip", "install", "--quiet", "--python", filepath.Join(dir, "bin/python"), "--no-deps", "--require-hashes", "-r", list)
	tests := []string{"-m", "tests"}
	for _, name := range anywhere {
		tests = append(tests, "test_"+name+".py")
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bin/python"), tests...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	lines, err := cmd.Output()
	ended := 0
	for decoder := json.NewDecoder(bytes.NewReader(lines)); ; ended++ {
		var end struct{ Test, Outcome, Text string }
		if decoder.Decode(&end) != nil {
			break
		}
		t.Run(strings.TrimPrefix(end.Test, "tests."), func(t *testing.T) {
			if end.Outcome != "pass" {
				t.Errorf("%s: %s", end.Outcome, end.Text)
			}
		})
	}
	if (err != nil || ended == 0) && !t.Failed() {
		t.Errorf("%d tests ran: %v\n%s", ended, err, stderr.String())
	}
}

// of are the entries of a list of requirements with these names, with their hashes.
func of(list []byte, names []string) []byte {
	var out bytes.Buffer
	entry := regexp.MustCompile(`^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==`)
	wanted := false
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		line := lines.Text()
		if m := entry.FindStringSubmatch(line); m != nil {
			wanted = slices.Contains(names, m[1])
		}
		if wanted {
			out.WriteString(line + "\n")
		}
	}
	return out.Bytes()
}
