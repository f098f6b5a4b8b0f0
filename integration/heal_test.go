//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/state"
)

const (
	readyIn = time.Minute
	backIn  = 30 * time.Second
)

// TestHealOneOfTwoWorkers: nobody notices the death of one of two.
func TestHealOneOfTwoWorkers(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("two", 2))
	s.Wait("two", "Ready", readyIn)
	tr := s.Traffic("two")

	unit := s.UnitsOf("two", "")[0].Unit
	victim := s.Observed(unit).Actors[0]
	gone := s.LeaseGone(victim.Lease)
	killed := time.Now()
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	next := s.AwaitAttempt(unit, victim.Name, 2, backIn)
	within(t, "SIGKILL to the lease revoked", (<-gone).Sub(killed), 2*time.Second)
	within(t, "SIGKILL to the next exec", next.StartedAt.Sub(killed), 2*time.Second)
	within(t, "SIGKILL to healthy again", next.ReadyAt.Sub(killed), backIn)
	tr.Flow(40)
	s.Wait("two", "Ready", readyIn)

	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if next.PID != victim.PID {
		t.Errorf("executed by actor process %d, want it in place in %d", next.PID, victim.PID)
	}
	exits := s.Events("unit-exited")
	if len(exits) != 1 || exits[0].Decode(t).Reason != "Killed" {
		t.Errorf("unit-exited events: %+v, want one with reason Killed", exits)
	}
}

// TestHealOnlyWorker: the only worker comes back in seconds, and clients are told
// so meanwhile instead of waiting for a lease to run out.
func TestHealOnlyWorker(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("one", 1))
	s.Wait("one", "Ready", readyIn)
	tr := s.Traffic("one")

	victim := s.Workers("one", "")[0]
	killed := time.Now()
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	next := s.AwaitAttempt(s.UnitsOf("one", "")[0].Unit, victim.Name, 2, backIn)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	within(t, "SIGKILL to the next exec", next.StartedAt.Sub(killed), 2*time.Second)
	within(t, "longest time without an answer", r.Gap, 15*time.Second)
	s.Wait("one", "Ready", readyIn)
}

// TestHealFrontend: the frontend is back on its port before anybody looks.
func TestHealFrontend(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")

	victim := s.InfraActor("Frontend")
	killed := time.Now()
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	next := s.AwaitAttempt("infra", "_Dynamo_Frontend", 2, backIn)
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r)
	within(t, "SIGKILL to the next exec", next.StartedAt.Sub(killed), 2*time.Second)
	within(t, "longest time without an answer", r.Gap, 12*time.Second)
	if next.Ports["http"] != s.Port {
		t.Errorf("came back on port %d, want %d", next.Ports["http"], s.Port)
	}
	if w := s.Workers("m", "")[0]; w.Attempt != 1 {
		t.Errorf("the worker runs attempt %d; a frontend's death concerns no worker", w.Attempt)
	}
}

// TestHealFrontendHungAtStart: one that gives no answer in time is killed and executed
// again, as often as it takes. In time is 5 s, doubled for each failure in a row: here one.
func TestHealFrontendHungAtStart(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	Signal(t, s.InfraActor("Frontend").ChildPID, syscall.SIGKILL)
	hung := state.Actor{}
	Eventually(t, backIn, "the frontend is executed again", func() bool {
		hung = s.InfraActor("Frontend")
		return hung.Attempt == 2 && hung.ChildPID != 0
	})
	Signal(t, hung.ChildPID, syscall.SIGSTOP)
	if a := s.InfraActor("Frontend"); a.State == state.UnitRunning {
		t.Fatal("it answered before it was stopped, so nothing is proven")
	}
	next := s.AwaitAttempt("infra", "_Dynamo_Frontend", 3, backIn)
	within(t, "exec of a frontend that hangs to the next exec", next.StartedAt.Sub(hung.StartedAt), 12*time.Second)
	RequireGone(t, hung.ChildPID)
	if e := s.Events("unit-exited"); len(e) != 2 || e[1].Decode(t).Reason != "StartupTimeout" {
		t.Errorf("unit-exited events: %+v, want a second one with reason StartupTimeout", e)
	}
	Eventually(t, backIn, "an answer", func() bool { // it is healthy before it knows the model
		_, err := chat(t.Context(), s.URL("/v1/chat/completions"), "m", "hello", 4)
		return err == nil
	})
	if w := s.Workers("m", "")[0]; w.Attempt != 1 {
		t.Errorf("the worker runs attempt %d; a frontend concerns no worker", w.Attempt)
	}
}

// TestHealHungWorker: a stopped process hears nothing; its own actor finds out.
func TestHealHungWorker(t *testing.T) {
	for _, plane := range []string{"tcp", "nats"} {
		t.Run(plane, func(t *testing.T) {
			s := Shared(t).NewServer(t, "requestPlane: "+plane)
			s.Set(s.Mocker("m", 2))
			s.Wait("m", "Ready", readyIn)
			tr := s.Traffic("m")
			unit := s.UnitsOf("m", "")[0].Unit
			victim := s.Observed(unit).Actors[0]
			gone := s.LeaseGone(victim.Lease)
			stopped := time.Now()
			Signal(t, victim.ChildPID, syscall.SIGSTOP)
			within(t, "SIGSTOP to the lease revoked", (<-gone).Sub(stopped), 12*time.Second)
			next := s.AwaitAttempt(unit, victim.Name, 2, backIn)
			within(t, "SIGSTOP to the next exec", next.StartedAt.Sub(stopped), 12*time.Second)
			tr.Flow(40)
			r := tr.Stop()
			t.Log("measured:", r, r.Errors)
			if plane == "tcp" {
				r.RequireNone(t)
			}
			var exits int
			for _, ev := range s.Events("unit-exited") {
				if ev.Decode(t).Reason == "Hung" {
					exits++
				}
			}
			if exits != 1 {
				t.Errorf("%d exits with reason Hung, want 1", exits)
			}
		})
	}
}

// sitecustomize makes every python of a model start with some lines; it returns
// the spec's lines for that.
func sitecustomize(t *testing.T, code string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sitecustomize.py"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("env: {PYTHONPATH: %s}", dir)
}

// TestHealActor: the death of an actor's process takes its child and grandchild
// along within a second, and a new actor takes its place in the same group.
func TestHealActor(t *testing.T) {
	s := Shared(t).NewServer(t)
	pidFile := filepath.Join(t.TempDir(), "grandchild")
	s.Set(s.Mocker("m", 2, sitecustomize(t, fmt.Sprintf(`
import subprocess, sys
if "dynamo.mocker" in sys.orig_argv:
    with open(%q, "a") as f:
        f.write("%%d\n" %% subprocess.Popen(["sleep", "3600"]).pid)
`, pidFile))))
	s.Wait("m", "Ready", readyIn)
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var grandchildren []int
	for line := range strings.Lines(string(text)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err != nil {
			t.Fatal(err)
		}
		grandchildren = append(grandchildren, pid)
	}
	tr := s.Traffic("m")

	unit := s.UnitsOf("m", "")[0].Unit
	before := s.Observed(unit)
	victim := before.Actors[0]
	own := 0
	for _, pid := range grandchildren {
		if ppid(pid) == victim.ChildPID {
			own = pid
		}
	}
	if own == 0 {
		t.Fatalf("none of %v is a child of %d", grandchildren, victim.ChildPID)
	}
	killed := time.Now()
	Signal(t, victim.PID, syscall.SIGKILL)
	Eventually(t, 10*time.Second, "child and grandchild are gone", func() bool { return !Alive(victim.ChildPID) && !Alive(own) })
	within(t, "SIGKILL of the actor to child and grandchild gone", time.Since(killed), time.Second)
	next := s.AwaitAttempt(unit, victim.Name, 2, backIn)
	within(t, "SIGKILL of the actor to the next exec", next.StartedAt.Sub(killed), 15*time.Second)
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if after := s.Observed(unit); after.PlacementGroup.ID != before.PlacementGroup.ID || next.PID == victim.PID {
		t.Errorf("group %s, actor process %d; want a new actor in group %s", after.PlacementGroup.ID, next.PID, before.PlacementGroup.ID)
	}
	s.Wait("m", "Ready", readyIn)
}

func ppid(pid int) (parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var st string
	if _, err := fmt.Sscan(rest, &st, &parent); err != nil {
		return 0
	}
	return parent
}

// TestHealPlacementGroup: a group that somebody removed is recreated.
func TestHealPlacementGroup(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	unit := s.UnitsOf("m", "")[1].Unit
	before := s.Observed(unit)
	s.Env.Python(t, "remove_group.py", "nemo_curator_dynamo", before.PlacementGroup.Name)
	removed := time.Now()
	Eventually(t, backIn, "a new group runs the unit", func() bool {
		u := s.Observed(unit)
		return u.State == state.UnitRunning && u.PlacementGroup.ID != before.PlacementGroup.ID
	})
	within(t, "group removed to healthy again", time.Since(removed), backIn)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	RequireGone(t, before.Actors[0].ChildPID, before.Actors[0].PID)
	s.Wait("m", "Ready", readyIn)
}

// TestHealAgent: what runs does not notice that the agent is gone, and what dies
// meanwhile is healed by its successor.
func TestHealAgent(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	agent := s.Env.Agent(t)
	unit := s.UnitsOf("m", "")[0].Unit
	victim, other := s.Observed(unit).Actors[0], s.Workers("m", "")[1]
	frontend := s.InfraActor("Frontend")

	killed := time.Now()
	Signal(t, agent.PID, syscall.SIGKILL)
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	Eventually(t, backIn, "a new agent is synced", func() bool {
		a := s.Env.Agent(t)
		return a.Incarnation > agent.Incarnation && a.Synced
	})
	within(t, "SIGKILL of the agent to its successor synced", time.Since(killed), 25*time.Second)
	next := s.AwaitAttempt(unit, victim.Name, 2, backIn)
	within(t, "a worker that died with it: to the next exec", next.StartedAt.Sub(killed), 30*time.Second)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
	r.RequireNone(t)
	s.Wait("m", "Ready", readyIn)
	if a := s.Observed(s.UnitsOf("m", "")[1].Unit).Actors[0]; a.ChildPID != other.ChildPID || a.Attempt != 1 {
		t.Errorf("the other worker runs attempt %d as %d, want attempt 1 as %d", a.Attempt, a.ChildPID, other.ChildPID)
	}
	if f := s.InfraActor("Frontend"); f.ChildPID != frontend.ChildPID {
		t.Errorf("the frontend was restarted")
	}
}

// TestHealCrashLoop: a model that does not start says why, by backoff, and the
// next revision heals it.
func TestHealCrashLoop(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1, "engineArgs: {no_such_flag: 1}"))
	Eventually(t, backIn, "CrashLoopBackOff", func() bool { return s.Reason("m", "WorkersReady") == "CrashLoopBackOff" })
	role := s.Status("m").Roles["aggregated"]
	if role.LastExit == nil || role.LastExit.Code != 2 || !strings.Contains(role.LastExit.LogTail, "--no-such-flag") || role.BackoffUntil == nil {
		t.Errorf("status: %+v; want exit code 2, a log tail that names the flag, and backoffUntil", role)
	}
	var exit struct {
		Code    int
		LogTail string
	}
	exits := s.Events("unit-exited")
	decode(t, string(exits[0].Decode(t).Detail), &exit)
	if exit.Code != 2 || !strings.Contains(exit.LogTail, "--no-such-flag") {
		t.Errorf("event: %+v", exit)
	}
	if len(s.Events("unit-backoff")) == 0 {
		t.Error("no unit-backoff event")
	}
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
}

// TestHealStartupTimeout: a process that does not come up is ended and counted.
func TestHealStartupTimeout(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1, "startupTimeout: 2s", sitecustomize(t, "import sys, time\nif 'dynamo.mocker' in sys.orig_argv:\n    time.sleep(3600)\n")))
	Eventually(t, backIn, "an exit with reason StartupTimeout", func() bool {
		r := s.status("model/m").Roles["aggregated"]
		return r.LastExit != nil && r.LastExit.Reason == "StartupTimeout"
	})
	Eventually(t, backIn, "CrashLoopBackOff", func() bool { return s.Reason("m", "WorkersReady") == "CrashLoopBackOff" })
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
}
