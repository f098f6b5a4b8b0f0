package python_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// findable is a machine with a PATH and a pyenv of its own, and none of the Pythons
// of the one that the test runs on.
type findable struct {
	t                *testing.T
	script, dir, bin string
	pyenv            string
}

func newFindable(t *testing.T) *findable {
	t.Helper()
	script, err := filepath.Abs("find.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &findable{t: t, script: script, dir: dir, bin: filepath.Join(dir, "bin"), pyenv: filepath.Join(dir, "pyenv")}
	if err := os.Mkdir(f.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"bash", "cksum", "cut", "grep", "sh"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(f.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *findable) write(path, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

// python makes an interpreter that answers what find.sh asks, and no more.
func (f *findable) python(path, version string, venv bool) {
	f.t.Helper()
	itself := "exit 1"
	if venv {
		itself = "echo " + path
	}
	f.write(path, fmt.Sprintf("#!/bin/sh\ncase \"$2\" in *ensurepip*) %s;; *) echo %s;; esac\n", itself, version))
}

func (f *findable) find(wanted string) (string, error) {
	cmd := exec.Command(f.script, wanted)
	cmd.Dir = f.dir
	cmd.Env = []string{"PATH=" + f.bin, "HOME=" + f.dir, "PYENV_ROOT=" + f.pyenv}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Which Python is chosen, for which environment, and what is said where there is none.
func TestFind(t *testing.T) {
	f := newFindable(t)
	bin, pyenv := f.bin, f.pyenv
	f.python(filepath.Join(bin, "python3.9"), "3.9.2", true)
	f.python(filepath.Join(bin, "python3.10"), "3.10.4", false)
	f.python(filepath.Join(bin, "python3"), "3.12.3", true)
	f.python(filepath.Join(pyenv, "versions/3.13.0/bin/python"), "3.13.0", true)
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
			got, err := f.find(test.wanted)
			if !strings.Contains(got, test.want) || (err == nil) != strings.HasPrefix(test.want, ".venv") {
				t.Errorf("%v: %s\nwant %s", err, got, test.want)
			}
		})
	}
	// An environment that is there counts where it is of that version.
	f.write(filepath.Join(f.dir, ".venv/pyvenv.cfg"), "home = /usr/bin\nversion = 3.12.3\n")
	for wanted, want := range map[string]string{"3.12": ".venv ", "3.13": ".venv-3.13 "} {
		if got, err := f.find(wanted); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %v: %s, want %s", wanted, err, got, want)
		}
	}
}
