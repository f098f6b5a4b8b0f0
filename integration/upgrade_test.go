//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// versionBefore are the programs of an earlier commit.
type versionBefore struct {
	about, reconciler, dynctl string
	// open: its managed etcd and NATS let in whoever reaches them.
	open bool
}

// buildEarlier builds the programs that an upgrade begins with. DYNCTL_UPGRADE_FROM names the
// commit; otherwise before.sh does.
func buildEarlier(t *testing.T) versionBefore {
	t.Helper()
	out, err := exec.Command("./before.sh", os.Getenv("DYNCTL_UPGRADE_FROM")).Output()
	if err != nil {
		t.Fatalf("before.sh: %v: %s", err, stderrOf(err))
	}
	ref, about, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	fmt.Fprintln(os.Stderr, "upgrade: from", about)
	dir := t.TempDir()
	if ref == "-" {
		shell(t, "..", "cp -r go.mod go.sum actors cmd events router state deploy "+dir)
	} else {
		shell(t, "..", "git archive "+ref+" | tar -x -C "+dir)
	}
	// What git does not hold, and what makes its agent another one in any case: a commit
	// that changes nothing of the agent would have it live on.
	shell(t, "..", "cp actors/ray/deps/*.whl "+filepath.Join(dir, "actors/ray/deps/"))
	shell(t, dir, `echo '# before the upgrade' >> actors/agent/dynctl_agent/__init__.py`)
	shell(t, dir, "CGO_ENABLED=0 go build -ldflags '-s -w -X dynctl/cmd/internal/version.Value=before-the-upgrade' -o built/ ./cmd/reconciler ./cmd/dynctl")
	built := filepath.Join(dir, "built")
	_, err = os.Stat(filepath.Join(dir, "actors/agent/dynctl_agent/actor/access.py"))
	return versionBefore{about, filepath.Join(built, "reconciler"), filepath.Join(built, "dynctl"), os.IsNotExist(err)}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", "set -eo pipefail; "+script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// unknownTo are the reconciler's arguments that another version does not know. They may be left
// out where they say nothing.
func (e *Env) unknownTo(t *testing.T, program string) (out []string) {
	t.Helper()
	if program == "" {
		return nil
	}
	help, _ := exec.Command(program, "--help").CombinedOutput() // asked for, so it ends with 2 or 0
	for _, arg := range e.cfg.ReconcilerArgs {
		name, value, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "--") || bytes.Contains(help, []byte("\n  "+name[1:])) {
			continue
		}
		if value != "" || name == arg {
			t.Fatalf("the program before the upgrade does not know %s, which every environment has", arg)
		}
		out = append(out, arg)
	}
	return out
}

// replaceReconciler ends the reconciler and starts another program in its place, "" for that
// of this checkout, and waits until the agent that it brings along works.
func (e *Env) replaceReconciler(t *testing.T, program string) {
	t.Helper()
	a := e.Agent(t)
	e.EndReconciler(t, syscall.SIGTERM)
	e.Stack.UseReconciler(program, e.unknownTo(t, program)...)
	e.StartReconciler(t)
	e.awaitAgent(t, a.Incarnation, readyIn)
}

// TestUpgrade: back to the programs of an earlier commit and forth to these again, over a
// fleet that serves. The reconciler brings its agent along, so what meets is: each reconciler
// and the other's agent, until its own has taken over; each agent and the other's actors, for
// as long as those live; each dynctl and the other's reconciler. No request fails and nothing
// is restarted; what the other version has started is healed, scaled and stopped. One from
// before the passwords of etcd and NATS cannot be gone back to: it is upgraded from.
func TestUpgrade(t *testing.T) {
	old := buildEarlier(t)
	if old.open {
		old.upgradeOpen(t)
		return
	}
	s := serving(t)
	e := s.Env
	t.Cleanup(func() {
		if t.Failed() { // the other tests need this reconciler
			e.EndReconciler(t, syscall.SIGTERM)
			e.Stack.UseReconciler("")
			e.StartReconciler(t)
		}
	})
	s.add("made-here", s.Mocker("made-here", 1))
	before := s.executions("", "plain")
	load := s.Load("plain", 20)

	for _, step := range []struct{ name, program, dynctl, takesOver, makes string }{
		{"back to what was before", old.reconciler, filepath.Join(e.cfg.Bin, "dynctl"), "made-here", "made-before"},
		{"and forth again", "", old.dynctl, "made-before", "made-after"},
	} {
		t.Run(step.name, func(t *testing.T) {
			s := *s
			s.t = t
			kept := s.executions(step.takesOver)
			replaced := time.Now()
			e.replaceReconciler(t, step.program)
			within(t, "another version at work", time.Since(replaced), readyIn)
			requireNoRestart(t, kept, s.executions(step.takesOver))
			s.withOther(step.dynctl, s.Mocker(step.makes, 1))
			s.Wait(step.makes, "Ready", readyIn)
			s.takeOver(step.takesOver)
		})
	}
	s.Delete("model/made-after")
	s.Wait("made-after", "deleted", time.Minute)
	requireNoFailure(t, load.Stop())
	requireNoRestart(t, before, s.executions("", "plain"))
	for _, condition := range []string{"Ready", "Available"} {
		if got := s.condition("plain", condition); !strings.HasPrefix(got, "True") {
			t.Errorf("%s is %s", condition, got)
		}
	}
}

// upgradeOpen: etcd and NATS of a server that this version has started stay open after an
// upgrade, which restarts nothing and fails no request; doctor names them, and after what it
// says to do they are closed.
func (v versionBefore) upgradeOpen(t *testing.T) {
	e := Start(t, Options{})
	e.replaceReconciler(t, v.reconciler)
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	before := s.executions("", "m")
	load := s.Load("m", 20)
	e.replaceReconciler(t, "")
	s.doctorSays("DataPlaneOpen: etcd and NATS of server " + s.Name + " let in whoever reaches them")
	s.add("beside", s.Mocker("beside", 1))
	s.Chat("beside", "hello", 4)
	requireNoFailure(t, load.Stop())
	requireNoRestart(t, before, s.executions("", "m"))

	s.remove()
	s.declare()
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	s.doctorSays("ask for a password: etcd of server " + s.Name + ", NATS of server " + s.Name)
	s.Chat("m", "hello", 4)
}

// doctorSays waits until it does.
func (s *Server) doctorSays(text string) {
	s.t.Helper()
	Eventually(s.t, time.Minute, "doctor says: "+text, func() bool {
		out, _, _ := s.Env.Exec(s.t, "", "doctor") // finds fault with machines, too
		return strings.Contains(strings.Join(strings.Fields(out), " "), text)
	})
}

// takeOver heals, scales and stops a model that another version has started.
func (s *Server) takeOver(model string) {
	s.t.Helper()
	unit := s.UnitsOf(model, "")[0]
	a := s.Observed(unit.Unit).Actors[0]
	Signal(s.t, a.ChildPID, syscall.SIGKILL)
	s.AwaitAttempt(unit.Unit, a.Name, a.Attempt+1, backIn)
	if log := s.Dynctl("logs", "model/"+model, "--previous"); log == "" {
		s.t.Errorf("no log of the attempt of %s that was killed", model)
	}
	s.Set(s.Mocker(model, 2))
	Eventually(s.t, readyIn, "two replicas of "+model, func() bool {
		return len(s.UnitsOf(model, "")) == 2 && strings.HasPrefix(s.condition(model, "Ready"), "True")
	})
	s.Chat(model, "hello", 4)
	s.Delete("model/" + model)
	s.Wait(model, "deleted", time.Minute)
}

// withOther declares a document with the dynctl of another version than the reconciler's,
// which can show what is there, too.
func (s *Server) withOther(dynctl, document string) {
	s.t.Helper()
	for _, args := range [][]string{{"set", "-"}, {"status"}, {"get", "models", "-o", "json"}, {"get", "units"}, {"doctor"}} {
		cmd := exec.Command(dynctl, append(args, "--server", s.Name)...)
		cmd.Env = append(os.Environ(), "DYNCTL_NATS_URL="+s.Env.natsURL(), "NO_COLOR=1")
		cmd.Stdin = bytes.NewReader([]byte(document))
		if out, err := cmd.CombinedOutput(); err != nil && args[0] != "doctor" { // which finds fault with machines, too
			s.t.Errorf("%s %v: %v\n%s", dynctl, args, err, out)
		}
	}
}
