package python_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Interpreters that answer what find.sh asks them, and no more: which is chosen, for
// which environment, and what is said where there is none.
func TestFind(t *testing.T) {
	script, err := filepath.Abs("find.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin, pyenv := filepath.Join(dir, "bin"), filepath.Join(dir, "pyenv")
	fake := func(path, version string, venv bool) {
		t.Helper()
		itself := "exit 1"
		if venv {
			itself = "echo " + path
		}
		text := fmt.Sprintf("#!/bin/sh\ncase \"$2\" in *ensurepip*) %s;; *) echo %s;; esac\n", itself, version)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"bash", "cksum", "cut", "grep", "sh"} { // and no Python of this machine
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	fake(filepath.Join(bin, "python3.9"), "3.9.2", true)
	fake(filepath.Join(bin, "python3.10"), "3.10.4", false)
	fake(filepath.Join(bin, "python3"), "3.12.3", true)
	fake(filepath.Join(pyenv, "versions/3.13.0/bin/python"), "3.13.0", true)
	for _, test := range []struct{ wanted, want string }{
		{"3.12", ".venv-3.12 " + bin + "/python3"},
		{"3.13", ".venv-3.13 " + pyenv + "/versions/3.13.0/bin/python"},
		{"3.13.0", ".venv-3.13.0 " + pyenv + "/versions/3.13.0/bin/python"},
		{"", ".venv " + bin + "/python3"}, // no 3.11 here
		{"python3", ".venv-3.12-"},
		{bin + "/python3", ".venv-3.12-"},
		{"3.13.1", "no Python 3.13.1 found"},
		{"3.14", "no Python 3.14 found"},
		{"3.10", "python3.10 has no venv: apt-get install python3.10-venv"},
		{"3.9", "Python 3.10 to 3.14, not with 3.9: name one of those"},
		{"3.15", "Python 3.10 to 3.14, not with 3.15"},
		{"3.1", "Python 3.10 to 3.14, not with 3.1:"},
		{"2.7", "Python 3.10 to 3.14, not with 2.7"},
		{bin + "/python3.9", "is 3.9.2: name another one"},
		{bin + "/python3.10", "has no venv"},
		{"nothing", "no program nothing"},
		{bin + "/cut", "is no Python that runs"},
	} {
		t.Run(test.wanted, func(t *testing.T) {
			cmd := exec.Command(script, test.wanted)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + bin, "HOME=" + dir, "PYENV_ROOT=" + pyenv}
			out, err := cmd.CombinedOutput()
			if got := string(out); !strings.Contains(got, test.want) || (err == nil) != strings.HasPrefix(test.want, ".venv") {
				t.Errorf("%v: %s\nwant %s", err, got, test.want)
			}
		})
	}
	// An environment that is there counts where it is of that version.
	if err := os.Mkdir(filepath.Join(dir, ".venv"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".venv/pyvenv.cfg"), []byte("home = /usr/bin\nversion = 3.12.3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for wanted, want := range map[string]string{"3.12": ".venv ", "3.13": ".venv-3.13 "} {
		cmd := exec.Command(script, wanted)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin, "HOME=" + dir, "PYENV_ROOT=" + pyenv}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %v: %s, want %s", wanted, err, out, want)
		}
	}
}
