//go:build integration

package ray

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"dynctl/state/kv/tlstest"
)

// venv is the environment with Ray: that of the Python that make was told.
func venv() string { return cmp.Or(os.Getenv("DYNCTL_VENV"), "../../.venv") }

// startRay starts a head of its own and returns its dashboard's URL.
func startRay(t *testing.T) string {
	t.Helper()
	ray, err := filepath.Abs(filepath.Join(venv(), "bin/ray"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ray); err != nil {
		t.Fatalf("no Ray to test with (%v): run `make venv`", err)
	}
	t.TempDir() // the first one registers the removal of all, which comes after the end of this head and its agents

	temp, err := os.MkdirTemp("/tmp", "ray") // sockets below it: the path has to be short
	if err != nil {
		t.Fatal(err)
	}
	dashboard := freePort(t)
	head := exec.Command(ray, "start", "--head", "--block", "--disable-usage-stats", "--temp-dir", temp,
		"--num-cpus", "4", "--num-gpus", "2", "--port", fmt.Sprint(freePort(t)),
		"--dashboard-port", fmt.Sprint(dashboard), "--dashboard-agent-listen-port", fmt.Sprint(freePort(t)),
		"--ray-client-server-port", fmt.Sprint(freePort(t)), "--min-worker-port", "0", "--max-worker-port", "0")
	// A job's python is the one on the raylet's PATH.
	head.Env = append(os.Environ(), "PATH="+filepath.Dir(ray)+":"+os.Getenv("PATH"), "RAY_AUTH_MODE=disabled")
	log, err := os.Create(filepath.Join(temp, "head.log"))
	if err != nil {
		t.Fatal(err)
	}
	head.Stdout, head.Stderr = log, log
	if err := head.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = head.Process.Signal(syscall.SIGTERM) // --block ends all of this head's processes
		_ = head.Wait()
		_ = log.Close()
		_ = os.RemoveAll(temp)
	})
	return fmt.Sprintf("http://127.0.0.1:%d", dashboard)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// testAgent is an agent that does nothing but beat, into a file.
const testAgent = `
import base64, json, os, sys, time
import nats
config = json.loads(base64.b64decode(sys.argv[sys.argv.index("--config") + 1]))
path = os.path.join(config["binDirs"][0], "heartbeat")
try:
    incarnation = json.load(open(path))["incarnation"] + 1
except OSError:
    incarnation = 1
while True:
    try:
        if json.load(open(path))["incarnation"] > incarnation:
            sys.exit(0)
    except OSError:
        pass
    with open(path + str(incarnation), "w") as f:
        json.dump({"pid": os.getpid(), "incarnation": incarnation, "nats": nats.VERSION}, f)
    os.replace(path + str(incarnation), path)
    time.sleep(0.1)
`

// brokenActor stands before testAgent: what it sends to Ray cannot be sent.
const brokenActor = `
import base64, json, os, ssl, sys
if not os.path.exists(os.path.join(json.loads(base64.b64decode(sys.argv[sys.argv.index("--config") + 1]))["binDirs"][0], "mended")):
    import ray
    ray.init(address="auto", log_to_driver=False)
    HELD = ssl.create_default_context()
    class Unit:
        def held(self):
            return HELD
    ray.remote(Unit).remote()
`

// wheel is one as pip downloads it, in miniature.
func wheel(t *testing.T) fstest.MapFS {
	t.Helper()
	var raw bytes.Buffer
	w := zip.NewWriter(&raw)
	f, err := w.Create("nats/__init__.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("VERSION = 'of the wheel'\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"deps/nats_py-1.0-py3-none-any.whl": {Data: raw.Bytes()}}
}

func testPackage(t *testing.T, version string) Package {
	t.Helper()
	p, err := NewPackage(fstest.MapFS{
		"dynctl_agent/__init__.py": {Data: []byte("# " + version)},
		"dynctl_agent/__main__.py": {Data: []byte(testAgent)},
	}, wheel(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type beat struct {
	PID         int    `json:"pid"`
	Incarnation uint64 `json:"incarnation"`
	NATS        string `json:"nats"`
}

func readBeat(dir string) (beat, time.Duration) {
	path := filepath.Join(dir, "heartbeat")
	var b beat
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &b) != nil {
		return beat{}, time.Hour
	}
	info, err := os.Stat(path)
	if err != nil {
		return beat{}, time.Hour
	}
	return b, time.Since(info.ModTime())
}

// supervise runs a supervisor until the returned function is called.
func supervise(t *testing.T, resolver Resolver, dir string, p Package) (*Supervisor, func()) {
	t.Helper()
	s := New(Config{
		Resolver: resolver,
		Package:  p,
		Agent: func() AgentConfig {
			return AgentConfig{NATSURL: "nats://none", StoreID: "0123456789abcdef", BinDirs: []string{dir}}
		},
		Heartbeat: func() (Heartbeat, bool) {
			b, age := readBeat(dir)
			return Heartbeat{Incarnation: b.Incarnation, Age: age}, true
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return s, stop
}

func awaitState(t *testing.T, s *Supervisor, within time.Duration, what string, holds func(SupervisorState) bool) (SupervisorState, time.Duration) {
	t.Helper()
	start := time.Now()
	late := time.After(within)
	for {
		if state := s.State(); holds(state) {
			return state, time.Since(start)
		}
		select {
		case <-s.Changed():
		case <-late:
			t.Fatalf("%s: not within %s: %+v", what, within, s.State())
		}
	}
}

func running(s SupervisorState) bool { return s.Phase == PhaseRunning }

// realStory is an agent on a real Ray, through the lives of several supervisors.
type realStory struct {
	t       *testing.T
	address string
	ray     Resolver // the way to it
	dir     string
	s       *Supervisor
	end     func() // of s, without a word to the agent
}

func (r *realStory) supervise(version string) {
	r.t.Helper()
	r.s, r.end = supervise(r.t, r.ray, r.dir, testPackage(r.t, version))
}

// One story, because a head takes ten seconds to start.
func TestRealRay(t *testing.T) {
	r := &realStory{t: t, address: startRay(t), dir: t.TempDir()}
	r.ray = resolverOf(t, r.address, "")
	r.supervise("one")
	state, took := awaitState(t, r.s, 90*time.Second, "the agent runs, though Ray came after the supervisor", running)
	t.Logf("head and agent up in %s: %+v", took, state)
	if b, _ := readBeat(r.dir); b.NATS != "of the wheel" {
		t.Errorf("nats came from %q, want the wheel in the package", b.NATS)
	}
	r.describesTheCluster()
	state = r.replacesWhatIsKilled()
	ca, file := tlstest.New(t), filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, []byte(ca.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	r.ray = resolverOf(t, behindTLS(t, ca, time.Hour, proxyTo(t, r.address)), file) // from here on
	r.findsItAgain(state)
	r.stops(r.replacesAnotherVersion(state))
	failsAndHeals(t, r.ray)
}

func resolverOf(t *testing.T, address, caFile string) Resolver {
	t.Helper()
	resolver, err := NewStatic(address, caFile)
	if err != nil {
		t.Fatal(err)
	}
	return resolver
}

func (r *realStory) describesTheCluster() {
	info, err := Check(r.t.Context(), r.ray, "")
	if err != nil {
		r.t.Fatal(err)
	}
	if info.Version != "2.60.0" || info.Nodes != 1 || info.GPUs != 2 || info.CPUs != 4 || info.Autoscaling || !strings.HasPrefix(info.Session, "session_") {
		r.t.Errorf("cluster: %+v", info)
	}
}

// replacesWhatIsKilled: kill -9 is noticed in well under a second.
func (r *realStory) replacesWhatIsKilled() SupervisorState {
	b, _ := readBeat(r.dir)
	if err := syscall.Kill(b.PID, syscall.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
	_, noticed := awaitState(r.t, r.s, 5*time.Second, "the death is noticed", func(s SupervisorState) bool { return !running(s) })
	state, back := awaitState(r.t, r.s, 30*time.Second, "the agent is back", running)
	r.t.Logf("kill -9 noticed in %s, another agent %s later", noticed, back)
	if noticed > 800*time.Millisecond {
		r.t.Errorf("noticed after %s", noticed)
	}
	return state
}

// findsItAgain: a restart of this program restarts nothing.
func (r *realStory) findsItAgain(state SupervisorState) {
	r.end()
	before, _ := readBeat(r.dir)
	r.supervise("one")
	again, _ := awaitState(r.t, r.s, 10*time.Second, "found again", running)
	if after, _ := readBeat(r.dir); again.JobID != state.JobID || after.PID != before.PID {
		r.t.Errorf("job %s (pid %d) became %s (pid %d)", state.JobID, before.PID, again.JobID, after.PID)
	}
}

// replacesAnotherVersion: the agent of this program takes over, and the old one ends.
func (r *realStory) replacesAnotherVersion(old SupervisorState) *client {
	r.end()
	r.supervise("two")
	newer, _ := awaitState(r.t, r.s, 30*time.Second, "the new version runs", running)
	if newer.JobID == old.JobID {
		r.t.Error("the old version was left in charge")
	}
	c := newClient(Endpoint{URL: r.address}, "", r.s.transport)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		all, err := c.list(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if living, _ := jobsOf(all, "0123456789abcdef"); len(living) == 1 && living[0].SubmissionId == newer.JobID {
			return c
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the old agent lives on beside the new one: %+v", all)
		}
	}
}

func (r *realStory) stops(c *client) {
	defer r.end()
	if err := r.s.Stop(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	all, err := c.list(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if living, _ := jobsOf(all, "0123456789abcdef"); len(living) != 0 || r.s.State().Phase != PhaseStopped {
		r.t.Errorf("after Stop: %+v, %+v", r.s.State(), living)
	}
}

// failsAndHeals: an agent whose actor cannot travel by value ends each time, until what
// it holds is mended.
func failsAndHeals(t *testing.T, ray Resolver) {
	dir := t.TempDir()
	p, err := NewPackage(fstest.MapFS{
		"dynctl_agent/__init__.py": {Data: []byte("")},
		"dynctl_agent/__main__.py": {Data: []byte(brokenActor + testAgent)},
	}, wheel(t))
	if err != nil {
		t.Fatal(err)
	}
	s, end := supervise(t, ray, dir, p)
	defer end()
	state, took := awaitState(t, s, 90*time.Second, "it is told as failing", func(s SupervisorState) bool { return s.Failing.Message != "" })
	t.Logf("told after %s: %+v", took, state.Failing)
	if f := state.Failing; !strings.HasSuffix(f.Message, ": TypeError: cannot pickle 'SSLContext' object") || !strings.Contains(f.Way, "3.10 to 3.14") || f.Job == "" || f.Up {
		t.Errorf("failing: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(dir, "mended"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, took = awaitState(t, s, 90*time.Second, "it heals by itself", func(s SupervisorState) bool { return running(s) && s.Failing.Message == "" })
	t.Logf("healed after %s", took)
	if err := s.Stop(t.Context()); err != nil { // a job's process outlives its Ray by a second, and this one writes
		t.Error(err)
	}
}

// The package that this program carries is one that Ray's Python can read.
func TestAgentPackageImports(t *testing.T) {
	p, err := AgentPackage()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "agent.zip")
	if err := os.WriteFile(file, p.Zip, 0o600); err != nil {
		t.Fatal(err)
	}
	python, err := filepath.Abs(filepath.Join(venv(), "bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import dynctl_agent; print(dynctl_agent.__file__)", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "agent.zip") {
		t.Errorf("%v: %s", err, out)
	}
}
