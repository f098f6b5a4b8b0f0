//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// driver is a Curator-like driver that has made its groups and actors.
type driver struct {
	cmd  *exec.Cmd
	file string // where it writes pids when everything is made
	pids []int  // its actors' children, and theirs
}

// nextName is the name that the next server will have.
func (e *Env) nextName() string { return fmt.Sprintf("it-%d", e.servers+1) }

// startDriver starts one and waits until it has made everything.
func (e *Env) startDriver(t *testing.T, server string) *driver {
	t.Helper()
	d := e.beginDriver(t, server, 0)
	d.wait(t, e)
	return d
}

// beginDriver starts one that pauses between its first group and the actor in it.
func (e *Env) beginDriver(t *testing.T, server string, pause time.Duration) *driver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := exec.Command(filepath.Join(e.cfg.Venv, "bin", "python"), filepath.Join("testdata", "curator_driver.py"),
		fmt.Sprintf("127.0.0.1:%d", e.cfg.Ports.Ray), "nemo_curator_dynamo", server, file, fmt.Sprint(pause.Seconds()))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &driver{cmd: cmd, file: file}
	t.Cleanup(func() { d.kill(t) })
	return d
}

func (d *driver) wait(t *testing.T, e *Env) {
	t.Helper()
	Eventually(t, readyIn, "the driver has made everything", func() bool {
		text, err := os.ReadFile(d.file)
		if err != nil || len(text) == 0 {
			return false
		}
		d.pids = nil
		for word := range strings.FieldsSeq(string(text)) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err != nil {
				t.Fatal(err)
			}
			d.pids = append(d.pids, pid)
		}
		return len(d.pids) == 2
	})
	d.pids = append(d.pids, e.descendants(t, d.pids[1])...)
	if len(d.pids) != 3 {
		t.Fatalf("processes of the driver: %v, want two children and a grandchild", d.pids)
	}
}

// descendants are the children of a process.
func (e *Env) descendants(t *testing.T, parent int) (out []int) {
	t.Helper()
	Eventually(t, 5*time.Second, "a grandchild", func() bool {
		out = nil
		for _, p := range e.Matching(t, "sleep 3601") {
			if ppid(p) == parent && p != parent {
				out = append(out, p)
			}
		}
		return len(out) > 0
	})
	return out
}

// kill ends the driver as a crash would; it leaves everything behind.
func (d *driver) kill(t *testing.T) {
	t.Helper()
	if d.cmd.ProcessState != nil {
		return
	}
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = d.cmd.Wait() // killed
}

func (d *driver) requireAlive(t *testing.T) {
	t.Helper()
	for _, pid := range d.pids {
		if !Alive(pid) {
			t.Errorf("process %d of somebody else is gone", pid)
		}
	}
}

// TestHealSweepsLeftovers: a killed driver's actors, groups and processes are gone
// before the server of that name starts for the first time.
func TestHealSweepsLeftovers(t *testing.T) {
	e := Shared(t)
	d := e.startDriver(t, e.nextName())
	d.kill(t)
	d.requireAlive(t)
	began := time.Now()
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	within(t, "a first start after a sweep", time.Since(began), readyIn)
	RequireGone(t, d.pids...)
	if n := len(s.Events("orphan-swept")); n != 2 {
		t.Errorf("%d orphan-swept events, want 2", n)
	}
	for _, u := range s.Units() {
		if u.Generation == "0badcafe" {
			t.Errorf("unit %s is left", u.Unit)
		}
	}
}

// TestHealRefusesALivingDriver: nothing of it is touched, a group that has no actor
// yet included; it ends, and the server starts by itself.
func TestHealRefusesALivingDriver(t *testing.T) {
	e := Shared(t)
	d := e.beginDriver(t, e.nextName(), 10*time.Second)
	Eventually(t, readyIn, "its first group", func() bool {
		return strings.Contains(e.run(t, "", "get", "units", "-o", "json"), "0badcafe_infra")
	})
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1))
	Eventually(t, backIn, "CuratorAlive", func() bool { return s.Reason("m", "Scheduled") == "CuratorAlive" })
	d.wait(t, e)
	d.requireAlive(t)
	d.kill(t)
	s.Wait("m", "Ready", readyIn)
	RequireGone(t, d.pids...)
}

// TestHealTouchesNobodyElse: what stands under a longer server name is not ours,
// and what appears under ours later waits for a person.
func TestHealTouchesNobodyElse(t *testing.T) {
	e := Shared(t)
	other := e.startDriver(t, e.nextName()+"_two")
	other.kill(t)
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	late := e.startDriver(t, s.Name)
	late.kill(t)
	orphans := func() (out []Unit) {
		for _, u := range s.Units() {
			if u.Generation == "0badcafe" {
				out = append(out, u)
			}
		}
		return out
	}
	Eventually(t, backIn, "both orphans are found", func() bool { return len(s.Events("orphan-found")) >= 2 && len(orphans()) == 2 })
	time.Sleep(3 * time.Second) // longer than the two looks before a sweep
	other.requireAlive(t)
	late.requireAlive(t)
	for _, u := range orphans() {
		s.Dynctl("sweep", s.Name+"/"+u.Unit, "--grace-period", "2s")
	}
	Eventually(t, backIn, "the orphans are gone", func() bool { return len(orphans()) == 0 })
	RequireGone(t, late.pids...)
	other.requireAlive(t)
	s.Chat("m", "untouched?", 4)
	for _, pid := range other.pids {
		Signal(t, pid, syscall.SIGKILL)
	}
	for _, group := range []string{"infra", "m_DP0"} {
		e.Python(t, "remove_group.py", "nemo_curator_dynamo", "dynamo_"+s.Name+"_two_0badcafe_pg_"+group)
	}
}

// TestHealRefusesAnotherStore: a second reconciler with a store of its own finds
// the names taken, and touches nothing.
func TestHealRefusesAnotherStore(t *testing.T) {
	e := Shared(t)
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	before := s.pids("m")

	ports, err := local.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(e.cfg.RunDir, "reconciler-two.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	two := exec.Command(filepath.Join(e.cfg.Bin, "reconciler"), "--data-dir", t.TempDir(), "--listen", fmt.Sprintf("127.0.0.1:%d", ports[0]),
		"--http", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--ray-address", e.Stack.DashboardURL(), "--bin-dir", e.cfg.Bin)
	two.Env = append(os.Environ(), local.MarkEnv+"="+e.Stack.TempDir())
	two.Stdout, two.Stderr = log, log
	if err := two.Start(); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("nats://127.0.0.1:%d", ports[0])
	ours := e.Agent(t).PID
	t.Cleanup(func() {
		_ = two.Process.Signal(syscall.SIGTERM)
		_ = two.Wait() // its end is wanted, whatever its code
		for _, pid := range e.Matching(t, "-m dynctl_agent") {
			if pid != ours {
				_ = syscall.Kill(pid, syscall.SIGKILL) // the second store's agent, or the shell around one
			}
		}
	})
	dynctl := func(stdin string, args ...string) (string, int) {
		out, errs, code := e.Exec(t, stdin, append(args, "--nats-url", url)...)
		return out + errs, code
	}
	Eventually(t, backIn, "the second reconciler answers", func() bool {
		_, code := dynctl(s.Mocker("m", 1), "set", "-")
		return code == 0
	})
	Eventually(t, readyIn, "NotOwner", func() bool {
		out, _ := dynctl("", "get", "models", "-o", "json")
		return strings.Contains(out, `"NotOwner"`)
	})
	for unit, pid := range s.pids("m") {
		if before[unit] != pid {
			t.Errorf("unit %s runs as %d, want the untouched %d", unit, pid, before[unit])
		}
	}
	s.Chat("m", "untouched?", 4)
}
