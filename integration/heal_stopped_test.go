//go:build integration

package integration

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestHealStoppedReconciler: a reconciler whose process was stopped, and with it the store that
// is embedded in it, tells of nobody's silence when it goes on, and the agent lives on.
func TestHealStoppedReconciler(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	was, tr := s.Env.Agent(t), s.Traffic("m")
	begun := time.Now().UTC()

	pid := s.Env.ReconcilerPID
	Signal(t, pid, syscall.SIGSTOP)
	time.Sleep(20 * time.Second)
	Signal(t, pid, syscall.SIGCONT)
	s.Wait("m", "Ready", readyIn)
	time.Sleep(2 * time.Second) // the agent's first heartbeat has come, or it is late

	tr.Stop().RequireNone(t)
	since := fmt.Sprintf("%.0fs", time.Since(begun).Seconds())
	if lost := s.Env.run(t, "", "events", "--since", since, "--type", "agent-lost,agent-connected", "-o", "json"); lost != "" {
		t.Errorf("told of the agent: %s", lost)
	}
	if now := s.Env.Agent(t); now.Incarnation != was.Incarnation {
		t.Errorf("incarnation %d is in charge, want %d still", now.Incarnation, was.Incarnation)
	}
}
