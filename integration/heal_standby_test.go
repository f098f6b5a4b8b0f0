//go:build integration

package integration

import (
	"encoding/json"
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

// standbyJob is the one job that stands by beside the agent in charge.
func (e *Env) standbyJob(t *testing.T, acting state.Agent) (id string) {
	t.Helper()
	e.AwaitStandby(t)
	Eventually(t, backIn, "one job stands by", func() bool {
		var jobs []struct {
			ID     string `json:"submission_id"`
			Status string `json:"status"`
		}
		_, text := get(t, e.Stack.DashboardURL()+"/api/jobs/")
		if json.Unmarshal([]byte(text), &jobs) != nil {
			return false
		}
		found := 0
		for _, j := range jobs {
			// One that has taken over was submitted as a standby, and one that came too late was not.
			if j.Status == "RUNNING" && j.ID != acting.Job {
				id, found = j.ID, found+1
			}
		}
		return found == 1
	})
	return id
}

// standbyAgent is what the reconciler says of the one that stands by beside the agent in charge.
func (e *Env) standbyAgent(t *testing.T, acting state.Agent) state.StandbyAgent {
	t.Helper()
	id := e.standbyJob(t, acting)
	var said struct{ StandbyAgent state.StandbyAgent }
	Eventually(t, backIn, "it is told who stands by", func() bool {
		err := json.Unmarshal([]byte(e.run(t, "", "status", "-o", "json")), &said)
		return err == nil && said.StandbyAgent.State == state.StandbyReady && said.StandbyAgent.Job == id
	})
	return said.StandbyAgent
}

// takeover is when the agent of a job had taken the key and when it had rebuilt its view,
// by its own log; zero: it does not say so.
func (e *Env) takeover(t *testing.T, job string) (taken, synced time.Time) {
	t.Helper()
	var log struct{ Logs string }
	_, text := get(t, e.Stack.DashboardURL()+"/api/jobs/"+job+"/logs")
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Errorf("the log of %s: %v: %.200s", job, err, text)
	}
	for line := range strings.Lines(log.Logs) {
		var said struct {
			Time time.Time
			Msg  string
		}
		switch err := json.Unmarshal([]byte(line), &said); {
		case err != nil: // Ray's own lines
		case said.Msg == "taking over":
			taken = said.Time
		case said.Msg == "in charge":
			synced = said.Time
		}
	}
	return taken, synced
}

// awaitSuccessor waits until another agent is in charge and synced.
func (e *Env) awaitSuccessor(t *testing.T, of state.Agent) (next state.Agent) {
	t.Helper()
	Eventually(t, backIn, "a successor is in charge", func() bool {
		next = e.Agent(t)
		return next.Incarnation > of.Incarnation && next.Synced
	})
	return next
}

// TestHealAgentWithStandby: the very agent that stands by takes over at once when the one in
// charge is killed, and soon when it hangs; another one stands by then. What was paused
// does nothing when it goes on.
func TestHealAgentWithStandby(t *testing.T) {
	s := Start(t, Options{ReconcilerArgs: []string{"--standby-agent"}}).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGKILL} {
		was := s.Env.Agent(t)
		waiting := s.Env.standbyJob(t, was)
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
		if next.Job != waiting || next.PID == was.PID {
			t.Errorf("after %s job %q (pid %d) is in charge, before it was %q (%d), and %q stood by", sig, next.Job, next.PID, was.Job, was.PID, waiting)
		}
		again := s.AwaitAttempt(unit, victim.Name, victim.Attempt+1, backIn)
		t.Logf("measured: %s of the agent and of a worker to the worker's next exec: %s", sig, again.StartedAt.Sub(begun).Round(10*time.Millisecond))
		taken, synced := s.Env.takeover(t, next.Job)
		t.Logf("measured: %s of the agent to the key taken: %s, and its view rebuilt: %s", sig,
			taken.Sub(begun).Round(time.Millisecond), synced.Sub(begun).Round(time.Millisecond))
		s.Wait("m", "Ready", readyIn)
		Eventually(t, backIn, "the one before is gone", func() bool { return syscall.Kill(was.PID, 0) != nil })
	}
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
}

// TestHealAgentWithStandbyAndBothStruck: both agents end at once, and both are stopped in turn.
// Somebody is in charge again each time and stays so, and another one stands by.
func TestHealAgentWithStandbyAndBothStruck(t *testing.T) {
	s := Start(t, Options{ReconcilerArgs: []string{"--standby-agent"}}).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		was := s.Env.Agent(t)
		standby := s.Env.standbyAgent(t, was)
		unit := s.UnitsOf("m", "")[0].Unit
		victim := s.Observed(unit).Actors[0]
		begun := time.Now()
		Signal(t, standby.PID, sig)
		Signal(t, was.PID, sig)
		Signal(t, victim.ChildPID, syscall.SIGKILL)
		if sig == syscall.SIGSTOP {
			// The orders of meanwhile lie before it when it goes on, and another job is on its way.
			time.Sleep(12 * time.Second)
			_ = syscall.Kill(standby.PID, syscall.SIGCONT) // it may have been ended meanwhile
		}
		next := s.Env.awaitSuccessor(t, was)
		t.Logf("measured: %s of both agents to a successor synced: %s", sig, time.Since(begun).Round(10*time.Millisecond))
		s.AwaitAttempt(unit, victim.Name, victim.Attempt+1, backIn)
		_ = syscall.Kill(was.PID, syscall.SIGCONT)
		Eventually(t, backIn, "the one before is gone", func() bool { return syscall.Kill(was.PID, 0) != nil })
		s.Wait("m", "Ready", readyIn)
		if s.Env.standbyAgent(t, next); s.Env.Agent(t).Incarnation != next.Incarnation {
			t.Errorf("after %s incarnation %d is in charge, and %d was the first after it", sig, s.Env.Agent(t).Incarnation, next.Incarnation)
		}
	}
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
}
