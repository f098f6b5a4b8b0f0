package local

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// withRay is a stack whose `ray` is a script.
func withRay(t *testing.T, script string) (s *Stack, said *bytes.Buffer) {
	t.Helper()
	venv, run := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(venv, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(venv, "bin", "ray"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	said = &bytes.Buffer{}
	cfg := Config{Venv: venv, RunDir: run, TempDir: run, Nodes: 2, GPUs: 1, CPUs: 1, Ports: DefaultPorts, Progress: said}
	return &Stack{cfg: cfg, env: os.Environ()}, said
}

// TestNodesJoinNoHeadThatHangs: no node is started beside a head that does not answer: each took
// three minutes to give up, and the error was the log of Ray.
func TestNodesJoinNoHeadThatHangs(t *testing.T) {
	s, _ := withRay(t, `[ "$1" = health-check ] && exit 1
exit 0`)
	_, err := s.Complete(t.Context(), Parts{Head: true, Reconciler: os.Getpid()}, time.Second)
	if !errors.Is(err, ErrHead) || !strings.Contains(err.Error(), "make down") {
		t.Errorf("got %v, want ErrHead with the way out", err)
	}
	if logs, _ := filepath.Glob(filepath.Join(s.cfg.RunDir, "ray-*.log")); len(logs) > 0 {
		t.Errorf("a node was started all the same: %v", logs)
	}
}

// TestADashboardThatDied: what serves is not ended for it.
func TestADashboardThatDied(t *testing.T) {
	s, _ := withRay(t, `touch "$0.was-called"; exit 0`)
	_, err := s.Complete(t.Context(), Parts{NoDashboard: true, Reconciler: os.Getpid()}, time.Second)
	if !errors.Is(err, ErrDashboard) || !strings.Contains(err.Error(), "make down") {
		t.Errorf("got %v, want ErrDashboard with the way out", err)
	}
	if called, _ := filepath.Glob(filepath.Join(s.cfg.Venv, "bin", "*.was-called")); len(called) > 0 {
		t.Error("something of Ray was started or ended")
	}
}

// TestANodeThatDoesNotStart: what Ray says is told with the way out, without where its Python was.
func TestANodeThatDoesNotStart(t *testing.T) {
	s, _ := withRay(t, `[ "$1" = health-check ] && exit 0
printf '\033[37mLocal node IP\033[39m: 10.0.0.1\nTraceback (most recent call last):\n  File "/venv/bin/ray", line 8, in <module>\n    sys.exit(main())\nRuntimeError: the head is gone\n' >&2
exit 1`)
	_, err := s.Complete(t.Context(), Parts{Head: true, Reconciler: os.Getpid()}, time.Second)
	if !errors.Is(err, ErrStart) {
		t.Fatalf("got %v, want ErrStart", err)
	}
	for _, want := range []string{"RuntimeError: the head is gone", "Local node IP: 10.0.0.1", "make down", "what ran before goes on"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	for _, none := range []string{"Traceback", "sys.exit", "\x1b"} {
		if strings.Contains(err.Error(), none) {
			t.Errorf("%q is in %v", none, err)
		}
	}
}

// TestWhatIsDegradedIsTold: a reconciler that is ready and says what is the matter is not told as
// ready alone.
func TestWhatIsDegradedIsTold(t *testing.T) {
	for _, row := range []struct{ answer, want string }{
		{"ok\n", ""},
		{"degraded\nray: RayUnreachable: the dashboard does not answer\n", "reconciler: degraded\nray: RayUnreachable: the dashboard does not answer\n"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(row.answer))
		}))
		at, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		s, said := withRay(t, "exit 0")
		s.cfg.Ports.HTTP, err = strconv.Atoi(at.Port())
		if err != nil {
			t.Fatal(err)
		}
		s.reconciler = &reconciler{done: make(chan struct{})}
		if err := s.WaitReady(t.Context(), time.Minute); err != nil || said.String() != row.want {
			t.Errorf("%q: %v, said %q, want %q", row.answer, err, said.String(), row.want)
		}
		server.Close()
	}
}
