//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// checkout is a directory in which `bin/local` runs a stack of its own.
type checkout struct {
	*testing.T
	root, tempDir string
}

func newCheckout(t *testing.T) checkout {
	t.Helper()
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	c := checkout{t, t.TempDir(), fmt.Sprintf("/tmp/dynctl-up-%d", os.Getpid())}
	for name, target := range map[string]string{
		"bin":   filepath.Join(repository, "bin"),
		".venv": cmp.Or(os.Getenv("DYNCTL_VENV"), filepath.Join(repository, ".venv")),
	} {
		if err := os.Symlink(target, filepath.Join(c.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(c.root, ".run"), 0o755); err != nil {
		t.Fatal(err)
	}
	guard, err := local.StartGuard(local.Config{Bin: filepath.Join(c.root, "bin"), RunDir: filepath.Join(c.root, ".run"), TempDir: c.tempDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := guard.Close(); err != nil {
			t.Errorf("guard: %v", err)
		}
	})
	return c
}

// up runs `local up` and returns what it said, and its exit code.
func (c checkout) up(flags ...string) (said string, code int) {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), filepath.Join(c.root, "bin", "local"), append([]string{"up", "--root", c.root, "--temp-dir", c.tempDir}, flags...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		c.Fatal(err)
	}
	return out.String(), code
}

func (c checkout) want(said string, code, wantCode int, texts ...string) {
	c.Helper()
	if code != wantCode {
		c.Fatalf("exit code %d, want %d:\n%s", code, wantCode, said)
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			c.Errorf("does not say %q:\n%s", text, said)
		}
	}
}

// pid is the process of the stack with these words in its command line, and without
// those behind a "!".
func (c checkout) pid(words ...string) int {
	c.Helper()
	all, err := local.Processes(c.tempDir)
	if err != nil {
		c.Fatal(err)
	}
	for _, p := range all {
		has := true
		for _, w := range words {
			w, without := strings.CutPrefix(w, "!")
			has = has && strings.Contains(p.Command, w) != without
		}
		if has {
			return p.PID
		}
	}
	c.Fatalf("no process with %q among %v", words, all)
	return 0
}

// kill ends a process and waits until it is gone.
func (c checkout) kill(pid int) {
	c.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.Fatal(err)
	}
	for {
		all, err := local.Processes(c.tempDir)
		if err != nil {
			c.Fatal(err)
		}
		if !slices.ContainsFunc(all, func(p local.Process) bool { return p.PID == pid }) {
			return
		}
		select {
		case <-c.Context().Done():
			c.Fatalf("process %d does not end", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// `make up` starts what is missing and leaves the rest as it is.
func TestUpBesideWhatRuns(t *testing.T) {
	c := newCheckout(t)
	ports, err := local.FreePorts(5)
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--nodes=2", "--gpus=1", "--cpus=2"}
	for i, name := range []string{"ray", "dashboard", "nats", "http"} {
		flags = append(flags, fmt.Sprintf("--%s-port=%d", name, ports[i]))
	}
	said, code := c.up(flags...)
	c.want(said, code, 0, "up after")
	gcs, reconciler := c.pid("/gcs_server "), c.pid("/reconciler ")

	said, code = c.up()
	c.want(said, code, 0, fmt.Sprintf("up already: Ray, and the reconciler (pid %d)", reconciler), fmt.Sprintf("http://127.0.0.1:%d", ports[3]))

	said, code = c.up("--nodes=3", fmt.Sprintf("--http-port=%d", ports[4]), "--gpus=1")
	c.want(said, code, 1, fmt.Sprintf("it runs with NODES=2 HTTP_PORT=%d, and NODES=3 HTTP_PORT=%d was asked for", ports[3], ports[4]), "make down")

	c.kill(reconciler)
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[3]))
	if err != nil {
		t.Fatal(err)
	}
	said, code = c.up()
	c.want(said, code, 1, "address already in use")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	said, code = c.up()
	c.want(said, code, 0, "reconciler: starting, beside Ray that runs", "complete after")
	if c.pid("/gcs_server ") != gcs {
		t.Error("Ray was restarted")
	}
	reconciler = c.pid("/reconciler ")

	c.kill(c.pid("/raylet/raylet ", "--node_ip_address", "!--head"))
	said, code = c.up()
	c.want(said, code, 0, "ray: 1 of 2 nodes are missing", "complete after")

	c.kill(c.pid("/dashboard/dashboard.py "))
	said, code = c.up()
	c.want(said, code, 1, "its dashboard has ended", "make down")
	if c.pid("/gcs_server ") != gcs {
		t.Error("Ray was restarted")
	}

	c.kill(gcs)
	said, code = c.up(flags...)
	c.want(said, code, 0, "its head has died", "complete after")
	if c.pid("/reconciler ") != reconciler {
		t.Error("the reconciler was restarted")
	}
	parts, err := local.Look(c.tempDir)
	if err != nil || !parts.Head || parts.Raylets != 2 {
		t.Errorf("%+v %v", parts, err)
	}
}
