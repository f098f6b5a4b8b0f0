//go:build integration

package integration

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/state"
)

// AwaitStandby waits until an agent stands by.
func (e *Env) AwaitStandby(t *testing.T) {
	t.Helper()
	Eventually(t, 90*time.Second, "an agent stands by", func() bool {
		_, text := get(t, e.Stack.HTTPURL()+"/metrics")
		return strings.Contains(text, "\ndynctl_standby_agent_ready 1\n")
	})
}

// awaitSuccessor waits until the agent that stood by is in charge and synced.
func (e *Env) awaitSuccessor(t *testing.T, of state.Agent) (next state.Agent) {
	t.Helper()
	Eventually(t, backIn, "the standby agent is in charge", func() bool {
		next = e.Agent(t)
		return next.Incarnation > of.Incarnation && next.Synced
	})
	return next
}

// TestHealAgentWithStandby: the agent that stands by takes over at once when the one in
// charge is killed, and soon when it hangs; another one stands by then. What was paused
// does nothing when it goes on.
func TestHealAgentWithStandby(t *testing.T) {
	s := Start(t, Options{ReconcilerArgs: []string{"--standby-agent"}}).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGKILL} {
		s.Env.AwaitStandby(t)
		was := s.Env.Agent(t)
		unit := s.UnitsOf("m", "")[0].Unit
		victim := s.Observed(unit).Actors[0]
		begun := time.Now()
		Signal(t, was.PID, sig)
		Signal(t, victim.ChildPID, syscall.SIGKILL)
		next := s.Env.awaitSuccessor(t, was)
		t.Logf("measured: %s of the agent to its successor synced: %s", sig, time.Since(begun).Round(10*time.Millisecond))
		if sig == syscall.SIGSTOP {
			_ = syscall.Kill(was.PID, syscall.SIGCONT) // it may have been ended meanwhile
		}
		if next.PID == was.PID || next.Job == was.Job || next.Job == "" {
			t.Errorf("after %s job %q (pid %d) is in charge, before it was %q (%d)", sig, next.Job, next.PID, was.Job, was.PID)
		}
		again := s.AwaitAttempt(unit, victim.Name, victim.Attempt+1, backIn)
		t.Logf("measured: %s of the agent and of a worker to the worker's next exec: %s", sig, again.StartedAt.Sub(begun).Round(10*time.Millisecond))
		s.Wait("m", "Ready", readyIn)
		Eventually(t, backIn, "the one before is gone", func() bool { return syscall.Kill(was.PID, 0) != nil })
	}
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
}
