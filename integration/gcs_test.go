//go:build integration && redis

package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// TestGCSFaultTolerance: Ray with its tables on Redis. Its gcs_server is killed and comes
// back after 5 s: the session, the agent and everything that serves are the same, no
// request fails, and what is asked for afterwards happens.
func TestGCSFaultTolerance(t *testing.T) {
	t.Setenv("RAY_REDIS_ADDRESS", startRedis(t))
	e := Start(t, Options{})
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	before, agent := s.executions("", "m"), e.Agent(t)
	tr := s.Traffic("m")

	again := e.killGCS(t)
	time.Sleep(5 * time.Second) // what it is away for
	began := time.Now()
	again()
	s.Set(s.Mocker("m", 3))
	Eventually(t, 2*time.Minute, "a third worker runs", func() bool { return len(s.executions("m")) == 3 })
	s.Wait("m", "Ready", 2*time.Minute)
	within(t, "gcs_server back to a third worker Ready", time.Since(began), 2*time.Minute)
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)

	now := e.Agent(t)
	if now.Session != agent.Session {
		t.Errorf("session %s, want the same as before, %s", now.Session, agent.Session)
	}
	t.Logf("measured: the agent was of incarnation %d (pid %d) and is of %d (pid %d)", agent.Incarnation, agent.PID, now.Incarnation, now.PID)
	after := s.executions("", "m")
	for name := range after {
		if _, was := before[name]; !was {
			delete(after, name) // the third worker
		}
	}
	requireNoRestart(t, before, after)
}

// startRedis returns its address; it ends with the test.
func startRedis(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("%v; run `make redis`", err)
	}
	ports, err := local.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(ports[0])
	cmd := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--daemonize", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	address := net.JoinHostPort("127.0.0.1", port)
	Eventually(t, backIn, "redis listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	})
	return address
}

// killGCS kills gcs_server; again starts it as it was.
func (e *Env) killGCS(t *testing.T) (again func()) {
	t.Helper()
	var gcs []int
	for _, p := range e.processes(t) {
		if p.Name() == "gcs_server" {
			gcs = append(gcs, p.PID)
		}
	}
	if len(gcs) != 1 {
		t.Fatalf("processes %v, want one gcs_server", gcs)
	}
	argv := commandLine(t, gcs[0])
	env := strings.Split(strings.TrimSuffix(procFile(t, gcs[0], "environ"), "\x00"), "\x00")
	dir, err := os.Readlink("/proc/" + strconv.Itoa(gcs[0]) + "/cwd")
	if err != nil {
		t.Fatal(err)
	}
	Signal(t, gcs[0], syscall.SIGKILL)
	return func() {
		log, err := os.Create(filepath.Join(e.cfg.RunDir, "gcs-again.log"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cmd.Wait() }() // the guard ends it
	}
}
