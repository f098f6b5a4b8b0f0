package docs_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// needsRay are the commands that are not run here, each with what covers it. A
// page may use them as they stand, or with variables after them.
var needsRay = map[string]string{
	"git clone":        "nothing to test",
	"make build":       "every run of `make test`",
	"make up":          "integration/: each environment is started as `make up` does, by deploy/local",
	"make down":        "integration/: each environment is ended as `make down` does; deploy/local's own tests",
	"make demo":        "`make smoke` is the demo without a person",
	"make smoke":       "it is a test: run by hand before a release",
	"make examples":    "a prerequisite of `make test`",
	"make test":        "it runs this",
	"make check":       "run before every commit",
	"make bench":       "the benchmarks compile with every `go vet`",
	"make fuzz":        "the fuzz tests run with their seeds in every `go test`",
	"bin/reconciler":   "integration/: every environment runs one; its flags: cmd/reconciler/app",
	"bin/nats-server":  "integration/: every infra unit runs one",
	"ray start":        "deploy/local starts every node so; integration/",
	"ray job":          "needs a cluster; Ray's own command line",
	"ray list":         "needs a cluster; Ray's own command line",
	"ray status":       "needs a cluster; Ray's own command line",
	"curl":             "cmd/reconciler/app: the handlers; integration/: the frontend",
	"kubectl":          "needs a cluster; deploy/kube runs an API server: make kube",
	"helm":             "deploy/kube renders each of them: make kube-check; make kube installs one",
	"docker":           "needs an engine",
	"make agent-deps":  "a prerequisite of `make build`",
	"kill":             "integration/: processes are killed in every manner",
	"bin/dynctl watch": "needs a terminal: cmd/dynctl runs it at one",
	"dynctl watch":     "needs a terminal: cmd/dynctl runs it at one",
}

// endless are commands that end when they are interrupted.
func endless(command string) bool {
	words := strings.Fields(command)
	return slices.Contains(words, "-f") || slices.Contains(words, "--follow") || slices.Contains(words, "watch") || slices.Contains(words, "sub")
}

// step is one command of a page.
type step struct {
	page     string
	line     int
	command  string
	exitCode int
}

// steps are the `$ ` lines of the console blocks of a page. `$ echo $?` with a
// number below it says which exit code the command before it has.
func steps(page, text string) []step {
	var out []step
	for _, f := range fences(text) {
		if f.language() != "console" {
			continue
		}
		for i := 0; i < len(f.body); i++ {
			command, ok := strings.CutPrefix(f.body[i], "$ ")
			if !ok {
				continue
			}
			s := step{page: page, line: f.line + i + 1}
			for strings.HasSuffix(command, "\\") && i+1 < len(f.body) {
				i++
				command = strings.TrimSuffix(command, "\\") + strings.TrimPrefix(f.body[i], "> ")
			}
			if command == "echo $?" && len(out) > 0 && i+1 < len(f.body) {
				if code, err := strconv.Atoi(strings.TrimSpace(f.body[i+1])); err == nil {
					out[len(out)-1].exitCode = code
				}
				continue
			}
			s.command = strings.TrimSpace(command)
			out = append(out, s)
		}
	}
	return out
}

// covered reports whether a command is one of those that are not run here.
func (s step) covered() bool {
	for prefix := range needsRay {
		if s.command == prefix || strings.HasPrefix(s.command, prefix+" ") {
			return true
		}
	}
	return false
}

// TestCommands runs every command of every page, each page in a store of its own
// that holds the examples.
func TestCommands(t *testing.T) {
	tools := buildTools(t)
	python := mustAbs(t, filepath.Join(cmp.Or(os.Getenv("DYNCTL_VENV"), filepath.Join(root, ".venv")), "bin"))
	if _, err := os.Stat(filepath.Join(python, "python")); err != nil {
		t.Fatalf("no Python with nats-py for the examples (%v): run `make venv`", err)
	}
	for _, page := range pages(t) {
		text := read(t, page)
		run := steps(page, text)
		run = slices.DeleteFunc(run, step.covered)
		if len(run) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			s := startStandIn(t)
			dir := workDir(t, tools, text)
			s.leaveContext(t, dir)
			env := append(os.Environ(), "DYNCTL_NATS_URL="+s.server.URL(), "NATS_URL="+s.urlWithPassword(t), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "USER=tester",
				"PATH="+strings.Join([]string{filepath.Join(dir, "bin"), python, os.Getenv("PATH")}, string(os.PathListSeparator)))
			s.prepare(t, dir, env)
			for _, x := range run {
				if name, ok := strings.CutPrefix(x.command, "export "); ok {
					if name, file, ok := strings.Cut(name, "=$(cat "); ok {
						if data, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(file, ")"))); err == nil {
							env = append(env, name+"="+strings.TrimSpace(string(data)))
						}
					} else if !strings.Contains(name, "NATS_URL=") && !strings.HasPrefix(name, "PATH=") { // ours are others
						env = append(env, name)
					}
					continue
				}
				x.run(t, dir, env)
			}
		})
	}
}

// prepare declares the examples and waits until they serve.
func (s *standIn) prepare(t *testing.T, dir string, env []string) {
	t.Helper()
	for _, command := range []string{
		"dynctl set examples/agg-mocker.yaml examples/disagg-mocker.yaml",
		"dynctl scale model/tiny --replicas 1", // so that there is a revision to go back to
		"dynctl scale model/tiny --replicas 2",
		"dynctl wait model/tiny model/tiny-disagg --for Ready --timeout 30s",
	} {
		step{page: "prepare", command: command}.run(t, dir, env)
	}
	s.orphan(t.Context(), t, "00000000_gone_DP0")
	s.tell(t)
}

func (s step) run(t *testing.T, dir string, env []string) {
	t.Helper()
	limit := 60 * time.Second
	if endless(s.command) {
		limit = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; exec 0</dev/null; "+s.command)
	cmd.Dir, cmd.Env = dir, env
	if strings.HasPrefix(s.command, "go ") { // a module's own directory
		cmd.Dir = root
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if endless(s.command) && ctx.Err() != nil {
		return
	}
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Errorf("%s:%d: %s: %v", s.page, s.line, s.command, err)
		return
	}
	if code != s.exitCode {
		t.Errorf("%s:%d: $ %s\nexit code %d, want %d\n%s\n(a command that needs Ray or a person goes into needsRay)",
			s.page, s.line, s.command, code, s.exitCode, out.String())
	}
}

// buildTools builds what the pages' commands call, and returns the directory.
func buildTools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build(t, root, filepath.Join(dir, "dynctl"), "./cmd/dynctl")
	build(t, filepath.Join(root, "examples", "clients", "natscli"), filepath.Join(dir, "nats"), "github.com/nats-io/natscli/nats")
	return dir
}

func build(t *testing.T, module, out, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, b)
	}
}

// workDir is a directory as a reader has it: bin/, examples/ and the files that
// the page shows.
func workDir(t *testing.T, tools, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, target := range map[string]string{"bin": tools, "examples": mustAbs(t, filepath.Join(root, "examples"))} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fences(text) {
		name := f.title()
		if name == "" {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(f.body, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
