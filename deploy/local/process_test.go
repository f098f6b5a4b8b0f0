package local

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spawn runs a shell script in a session of its own and returns what it prints
// first, a pid.
func spawn(t *testing.T, script string, env ...string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gone already, where the test went well
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func contains(t *testing.T, dir string, pid int) bool {
	t.Helper()
	all, err := Processes(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID == pid {
			return true
		}
	}
	return false
}

func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		marked, ours bool
	}{
		{"a process with the mark", `echo $$; exec sleep 60 >/dev/null`, true, true},
		{"one that ignores SIGTERM", `trap "" TERM; echo $$; exec sleep 60 >/dev/null`, true, true},
		{"one that is stopped", `echo $$; kill -STOP $$`, true, true},
		{"an orphan in a session of its own", `setsid sleep 60 >/dev/null & echo $!`, true, true},
		{"one that overwrote its environment and writes a log below the directory", `exec 3>"$DIR/log"; echo $$; exec sleep 60 >/dev/null`, false, true},
		{"somebody who reads a log", `: >"$DIR/log"; exec 3<"$DIR/log"; echo $$; exec sleep 60 >/dev/null`, false, false},
		{"somebody else", `echo $$; exec sleep 60 >/dev/null`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			env := []string{"DIR=" + dir}
			if tt.marked {
				env = append(env, MarkEnv+"="+dir)
			}
			pid := spawn(t, tt.script, env...)
			// While it executes another program a process shows no environment.
			for began := time.Now(); contains(t, dir, pid) != tt.ours; {
				if time.Since(began) > 5*time.Second {
					t.Fatalf("listed: %v, want %v", !tt.ours, tt.ours)
				}
			}
			if err := End(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if contains(t, dir, pid) {
				t.Error("still listed after End")
			}
			if alive := Alive(pid); alive == tt.ours {
				t.Errorf("alive: %v, want %v", alive, !tt.ours)
			}
		})
	}
}

func TestWithDescendants(t *testing.T) {
	dir := t.TempDir()
	top := spawn(t, `(sleep 60 >/dev/null & echo $! >"$DIR/below"; echo $$; wait) & wait`, "DIR="+dir)
	text, err := os.ReadFile(filepath.Join(dir, "below"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	all, err := WithDescendants(top)
	if err != nil || len(all) != 3 || all[0] != top || all[2] != below {
		t.Errorf("got %v, %v; want %d, a shell and %d", all, err, top, below)
	}
}

func TestEndOfNothing(t *testing.T) {
	if err := End(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func TestMarkOfAnotherStack(t *testing.T) {
	dir := t.TempDir()
	pid := spawn(t, `echo $$; exec sleep 60 >/dev/null`, MarkEnv+"="+dir+"2")
	if contains(t, dir, pid) {
		t.Error("a longer directory name with the same beginning is another stack")
	}
}

// completeCheckout has all tools and free ports in a directory that starts nothing.
func completeCheckout(t *testing.T, name string) Config {
	t.Helper()
	dir := t.TempDir()
	ports, err := FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"bin/reconciler", "bin/dynctl", "bin/etcd", "bin/nats-server", "venv/bin/ray", "data/stored"} {
		path := filepath.Join(dir, f)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	return Config{
		Bin: filepath.Join(dir, "bin"), Venv: filepath.Join(dir, "venv"), RunDir: filepath.Join(dir, "run"),
		DataDir: filepath.Join(dir, "data"), TempDir: "/tmp/dynctl-unit-" + name + strconv.Itoa(os.Getpid()), Nodes: 1, CPUs: 1,
		Ports: Ports{Ray: ports[0], Dashboard: ports[1], NATS: ports[2], HTTP: ports[3]},
	}
}

func TestNew(t *testing.T) {
	good := completeCheckout(t, "")
	t.Run("says which tools are missing", func(t *testing.T) {
		c := good
		c.Bin, c.Venv = t.TempDir(), t.TempDir()
		_, err := New(c)
		if !errors.Is(err, ErrMissingTool) || !strings.Contains(err.Error(), "make venv") || !strings.Contains(err.Error(), "make build") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a directory too long for sockets", func(t *testing.T) {
		c := good
		c.TempDir = "/tmp/" + strings.Repeat("x", maxTempDir)
		if _, err := New(c); err == nil {
			t.Error("no error")
		}
	})
	t.Run("refuses a taken port by name", func(t *testing.T) {
		l := listen(t, good.Ports.Dashboard)
		defer l.Close()
		_, err := New(good)
		if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "DASHBOARD_PORT") {
			t.Errorf("got %v", err)
		}
	})
}

// TestFreshData wants the store of a stack that runs to stay where another one that is
// to begin with an empty store is refused.
func TestFreshData(t *testing.T) {
	c := completeCheckout(t, "f")
	c.FreshData = true
	stored := filepath.Join(c.DataDir, "stored")
	spawn(t, `echo $$; exec sleep 60 >/dev/null`, MarkEnv+"="+c.TempDir)
	if _, err := New(c); !errors.Is(err, ErrRunning) {
		t.Errorf("beside one that runs: %v", err)
	}
	if _, err := os.Stat(stored); err != nil {
		t.Errorf("the store of the one that runs: %v", err)
	}
	if err := Down(t.Context(), c.TempDir); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stored); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the store of one that begins: %v, want it gone", err)
	}
	if err := Down(t.Context(), c.TempDir); err != nil {
		t.Fatal(err)
	}
}

func TestGuardWatchesItsInput(t *testing.T) {
	dir := t.TempDir()
	pid := spawn(t, `echo $$; exec sleep 60 >/dev/null`, MarkEnv+"="+dir)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- Watch(t.Context(), r, dir) }()
	if !contains(t, dir, pid) {
		t.Fatal("ended before its input did")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the guard does not end")
	}
	if contains(t, dir, pid) {
		t.Error("left over")
	}
}
