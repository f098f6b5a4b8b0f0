package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tailLines is how much of a log an error shows.
const tailLines = 20

// reconciler is the reconciler's process as this program started it.
type reconciler struct {
	pid  int
	log  string
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; set before done is closed
}

func (s *Stack) reconcilerLog() string { return filepath.Join(s.cfg.RunDir, "reconciler.log") }

// UseReconciler has StartReconciler start another program, "" for that in Bin again, with
// the same arguments but those that it does not know.
func (s *Stack) UseReconciler(program string, without ...string) {
	s.program, s.without = program, without
}

// StartReconciler starts the reconciler in a session of its own, so that it
// outlives this program, and returns its pid. Its log is RunDir/reconciler.log.
func (s *Stack) StartReconciler() (pid int, err error) {
	log, err := os.OpenFile(s.reconcilerLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	args := append([]string{
		"--data-dir", s.cfg.DataDir,
		"--listen", loopback(s.cfg.Ports.NATS),
		"--http", loopback(s.cfg.Ports.HTTP),
		"--ray-address", s.DashboardURL(),
		"--bin-dir", s.cfg.Bin,
	}, s.cfg.ReconcilerArgs...)
	args = slices.DeleteFunc(args, func(a string) bool { return slices.Contains(s.without, a) })
	cmd := exec.Command(cmp.Or(s.program, filepath.Join(s.cfg.Bin, "reconciler")), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = slices.Concat(s.env, s.cfg.ReconcilerEnv), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("reconciler: %w: %w", ErrStart, err)
	}
	r := &reconciler{pid: cmd.Process.Pid, log: log.Name(), done: make(chan struct{})}
	go func() {
		r.err = cmd.Wait()
		close(r.done)
	}()
	s.reconciler = r
	return r.pid, nil
}

// ReconcilerEnded is closed once the reconciler that was started last has ended.
func (s *Stack) ReconcilerEnded() <-chan struct{} { return s.reconciler.done }

// WaitReady waits until the reconciler's /readyz says that specs are carried out,
// passing on what it waits for.
func (s *Stack) WaitReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := &http.Client{Timeout: 2 * time.Second}
	said := "not listening yet"
	for {
		ready, why, err := readyz(ctx, client, s.HTTPURL()+"/readyz")
		if err == nil && ready {
			if notice := strings.TrimSpace(strings.TrimPrefix(why, "ok")); notice != "" {
				s.progress("reconciler: %s", notice)
			}
			return nil
		}
		if err == nil && why != said {
			said = why
			s.progress("reconciler: %s", why)
		}
		select {
		case <-s.reconciler.done:
			return fmt.Errorf("reconciler: %w: %w; the end of %s:\n%s", ErrStart, exited(s.reconciler.err), s.reconciler.log, tail(s.reconciler.log))
		case <-ctx.Done():
			return fmt.Errorf("reconciler: %w: not ready: %s; the end of %s:\n%s", ErrStart, said, s.reconciler.log, tail(s.reconciler.log))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func exited(err error) error {
	if err == nil {
		return errors.New("it ended with code 0")
	}
	return err
}

// readyz asks once; why is the answer's first line, and all of it where it is ready.
func readyz(ctx context.Context, client *http.Client, url string) (ready bool, why string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return false, "", err
	}
	why = strings.TrimSpace(string(body))
	if resp.StatusCode == http.StatusOK {
		return true, why, nil
	}
	why, _, _ = strings.Cut(why, "\n")
	return false, why, nil
}

// tail is the end of a log, indented; empty when it cannot be read.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lastOf(lines, tailLines)
}

// lastOf are the last lines, at most so many, indented.
func lastOf(lines []string, most int) string {
	return "  " + strings.Join(lines[max(0, len(lines)-most):], "\n  ")
}
