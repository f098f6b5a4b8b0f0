//go:build integration

package integration

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// Signal signals a process, which has to live.
func Signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("pid %d: there is no such process", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("%s to %d: %v", sig, pid, err)
	}
}

// Alive reports whether a process lives; a zombie does not.
func Alive(pid int) bool { return local.Alive(pid) }

// RequireGone wants the processes to be gone within 15 s. Pids of 0 are ignored.
func RequireGone(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for _, pid := range pids {
		for pid > 0 && Alive(pid) {
			if time.Now().After(deadline) {
				cmd, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // for the message alone
				t.Errorf("process %d lives on: %s", pid, strings.ReplaceAll(string(cmd), "\x00", " "))
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// Matching are the pids of the environment whose command line holds all texts.
func (e *Env) Matching(t *testing.T, texts ...string) []int {
	t.Helper()
	all, err := e.Stack.Processes()
	if err != nil {
		t.Fatal(err)
	}
	var out []int
next:
	for _, p := range all {
		for _, text := range texts {
			if !strings.Contains(p.Command, text) {
				continue next
			}
		}
		out = append(out, p.PID)
	}
	return out
}

// Eventually asks every 50 ms until done says yes.
func Eventually(t *testing.T, timeout time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", timeout, what)
		}
	}
}
