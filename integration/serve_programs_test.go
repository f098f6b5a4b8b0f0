//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// program is a process that a test starts beside the environment's own. The guard
// knows it, and it ends with the test.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// spawn starts a program of bin/ with its output in a file.
func (e *Env) spawn(t *testing.T, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(filepath.Join(e.cfg.Bin, name), args...)
	cmd.Env = append(os.Environ(), local.MarkEnv+"="+e.cfg.TempDir, "NO_COLOR=1")
	return e.launch(t, name, cmd)
}

// launch starts a command in a session of its own, with its output in a file.
func (e *Env) launch(t *testing.T, name string, cmd *exec.Cmd) *program {
	t.Helper()
	log, err := os.CreateTemp(e.cfg.RunDir, name+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &program{t: t, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its exit code is asked for by those who care
		close(p.done)
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end ends the program, if it runs, and waits for it.
func (p *program) end(sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Errorf("%s lives 30 s after %s", p.cmd.Path, sig)
	}
}

// said is what the program has written.
func (p *program) said() string {
	p.t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

// freePorts are ports of the test's own.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports, err := local.FreePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// accepts waits until somebody listens on a port of this machine.
func accepts(t *testing.T, port int) {
	t.Helper()
	Eventually(t, 20*time.Second, fmt.Sprintf("port %d accepts", port), func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil && c.Close() == nil
	})
}

// natsServer starts an external NATS and returns its URL.
func (e *Env) natsServer(t *testing.T, port int) string {
	t.Helper()
	e.spawn(t, "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", t.TempDir())
	accepts(t, port)
	return fmt.Sprintf("nats://127.0.0.1:%d", port)
}

// beside is a spec store of a test's own, on the Ray cluster of the environment.
func (e *Env) beside(t *testing.T, suffix string) *Env {
	t.Helper()
	out := &Env{Stack: e.Stack, cfg: e.cfg, guard: e.guard, suffix: suffix}
	out.nats = e.natsServer(t, freePorts(t, 1)[0])
	return out
}

// besideWithPassword is the same behind a password, which nothing but the store's own
// configuration and the reconciler's flag holds.
func (e *Env) besideWithPassword(t *testing.T, suffix, password string) *Env {
	t.Helper()
	port := freePorts(t, 1)[0]
	config := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%d\njetstream: {store_dir: %q}\nauthorization: {user: me, password: %q}\n", port, t.TempDir(), password)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e.spawn(t, "nats-server", "-c", config)
	accepts(t, port)
	return &Env{Stack: e.Stack, cfg: e.cfg, guard: e.guard, suffix: suffix, nats: fmt.Sprintf("nats://me:%s@127.0.0.1:%d", password, port)}
}

// besideReconciler is a reconciler on such a store, in a Ray namespace of the
// test's own.
type besideReconciler struct {
	*program
	url string
}

func (e *Env) startBeside(t *testing.T, id string) besideReconciler {
	t.Helper()
	port := freePorts(t, 1)[0]
	p := e.spawn(t, "reconciler", "--nats-url", e.natsURL(), "--ray-address", e.Stack.DashboardURL(),
		"--ray-namespace", "it_"+e.suffix, "--data-dir", t.TempDir(), "--http", fmt.Sprintf("127.0.0.1:%d", port), "--id", id, "--bin-dir", e.cfg.Bin)
	return besideReconciler{p, fmt.Sprintf("http://127.0.0.1:%d", port)}
}

// readyz is the status code and the text of a reconciler's /readyz; 0 while it
// does not answer.
func readyz(t *testing.T, url string) (int, string) {
	t.Helper()
	code, text := get(t, url+"/readyz")
	return code, strings.TrimSpace(text)
}

// TestReconcilerRefusesInOneLine: what cannot be is said in one line that names
// the flag, and ends the program.
func TestReconcilerRefusesInOneLine(t *testing.T) {
	e := Shared(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
	for _, tc := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"--http is taken", []string{"--http", taken.Addr().String(), "--listen", free}, 1, []string{"--http", "address already in use"}},
		{"--listen is taken", []string{"--listen", taken.Addr().String(), "--http", free}, 1, []string{"--listen", "address already in use"}},
		{"the store is in use", []string{"--listen", free, "--http", "127.0.0.1:0", "--data-dir", e.cfg.DataDir}, 1, []string{"--data-dir", fmt.Sprint(e.ReconcilerPID)}},
		{"a flag that is none", []string{"--htpp", free}, 2, []string{"-htpp"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(e.cfg.Bin, "reconciler"), append([]string{"--data-dir", t.TempDir()}, tc.args...)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != tc.code {
				t.Errorf("ended with %v, want exit code %d", err, tc.code)
			}
			said := strings.TrimSpace(out.String())
			if tc.code == 1 && strings.Contains(said, "\n") {
				t.Errorf("more than one line:\n%s", said)
			}
			for _, w := range tc.want {
				if !strings.Contains(said, w) {
					t.Errorf("no %q in:\n%s", w, said)
				}
			}
		})
	}
}

// TestReconcilerWaitsForNATS: an external NATS that is down is told once, and
// heals.
func TestReconcilerWaitsForNATS(t *testing.T) {
	e := Shared(t)
	port := freePorts(t, 1)[0]
	late := &Env{Stack: e.Stack, cfg: e.cfg, suffix: "late", nats: fmt.Sprintf("nats://127.0.0.1:%d", port)}
	r := late.startBeside(t, "late")
	Eventually(t, 10*time.Second, "/readyz names NATS", func() bool {
		code, why := readyz(t, r.url)
		return code == 503 && strings.Contains(why, late.nats)
	})
	time.Sleep(2500 * time.Millisecond) // two tries more
	if said := strings.TrimSpace(r.said()); strings.Count(said, "\n") > 0 || !strings.Contains(said, late.nats) || !strings.Contains(said, "--nats-url") {
		t.Errorf("want one line with the URL and the flag, got:\n%s", said)
	}
	e.natsServer(t, port)
	Eventually(t, 60*time.Second, "ready", func() bool { code, _ := readyz(t, r.url); return code == 200 })
}

// TestReconcilerStartsBeforeRay: it says what it waits for, and heals by itself.
func TestReconcilerStartsBeforeRay(t *testing.T) {
	e, err := prepare(t.Name(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	if e.ReconcilerPID, err = e.Stack.StartReconciler(); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(e.Stack.DashboardURL(), "http://")
	Eventually(t, 10*time.Second, "/readyz names Ray's address", func() bool {
		code, why := readyz(t, e.Stack.HTTPURL())
		return code == 503 && strings.HasPrefix(why, "agent: ") && strings.Contains(why, address) && !strings.Contains(why, "\n")
	})
	_, why := readyz(t, e.Stack.HTTPURL())
	t.Log("/readyz:", why)
	if err := e.Stack.StartRay(t.Context()); err != nil {
		t.Fatal(err)
	}
	up := time.Now()
	if err := e.Stack.WaitReady(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	within(t, "Ray is up to ready", time.Since(up), 40*time.Second)
}
