package ray

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
)

func statusOf(s string) rayv1.JobStatus { return rayv1.JobStatus(s) }

const storeID = "0123456789abcdef"

func packageOf(t *testing.T, content string) Package {
	t.Helper()
	p, err := NewPackage(fstest.MapFS{"dynctl_agent/__main__.py": {Data: []byte(content)}}, fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configFor(t *testing.T, f *fakeRay) Config {
	t.Helper()
	resolver, err := NewStatic("http://ray:8265/", "")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Resolver:  resolver,
		Package:   packageOf(t, "one"),
		Agent:     func() AgentConfig { return AgentConfig{NATSURL: "nats://n:4222", StoreID: storeID, Epoch: 3} },
		Heartbeat: f.heartbeat,
	}
}

// start runs a supervisor and returns what ends it.
func start(t *testing.T, cfg Config, f http.RoundTripper) (*Supervisor, func()) {
	t.Helper()
	s := newSupervisor(cfg, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
	return s, func() { cancel(); <-done }
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFirstSubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		cfg := configFor(t, f)
		s, end := start(t, cfg, f)
		defer end()
		pass(time.Second)
		state := s.State()
		if state.Phase != PhaseRunning || !strings.HasPrefix(state.JobID, "dynctl-agent-01234567-") || state.Address != "http://ray:8265" {
			t.Errorf("state %+v", state)
		}
		if f.submitted() != 1 || string(f.packages[cfg.Package.name()]) != string(cfg.Package.Zip) {
			t.Errorf("%d jobs, packages %v", f.submitted(), f.packages)
		}
		job := f.jobs[state.JobID].info
		if job.RuntimeEnv["working_dir"] != "gcs://_ray_pkg_"+cfg.Package.Hash+".zip" {
			t.Errorf("runtime_env %v", job.RuntimeEnv)
		}
		if got := configOf(t, job.Entrypoint); got.StoreID != storeID || got.Epoch != 3 {
			t.Errorf("agent config %+v", got)
		}
	})
}

// The agent's job ends, in any way: another one at once, and backoff if it goes on.
func TestResubmission(t *testing.T) {
	for _, status := range []string{"FAILED", "STOPPED", "SUCCEEDED", "missing"} {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				s, end := start(t, configFor(t, f), f)
				defer end()
				pass(time.Second)
				if status == "missing" {
					f.set(func() { clear(f.jobs) })
				} else {
					f.end(t, status, "Traceback\nKeyError: 'x'\n")
				}
				pass(300 * time.Millisecond)
				if got := f.submitted(); got != 2 {
					t.Fatalf("%d jobs 0.3 s after the end of the first, want 2: %+v", got, s.State())
				}
				pass(time.Second)
				if s.State().Phase != PhaseRunning {
					t.Errorf("state %+v", s.State())
				}
			})
		})
	}
}

func TestBackoffGrowsAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		var gaps []time.Duration
		for range 9 {
			f.end(t, "FAILED", "boom")
			ended, before := time.Now(), f.submitted()
			for f.submitted() == before {
				pass(50 * time.Millisecond)
			}
			gaps = append(gaps, time.Since(ended))
		}
		if gaps[0] > 300*time.Millisecond || gaps[8] < 3500*time.Millisecond || gaps[8] > 6500*time.Millisecond {
			t.Errorf("gaps %v: want the first at once, the last about 5 s", gaps)
		}
		pass(2 * time.Minute)
		if s.State().Failures != 0 {
			t.Errorf("failures after two good minutes: %d", s.State().Failures)
		}
		f.end(t, "FAILED", "boom")
		before := f.submitted()
		pass(300 * time.Millisecond)
		if f.submitted() != before+1 {
			t.Error("the first failure after a stable time waits")
		}
		pass(time.Second)
		if got := len(f.jobs); got > keptRecords+2 {
			t.Errorf("%d records of jobs are kept", got)
		}
	})
}

func TestFailureSaysWhatToDo(t *testing.T) {
	tests := []struct {
		name, log, want string
	}{
		{"the last line of the log", "a\nb\nKeyError: 'x'\n", "ended (FAILED): KeyError: 'x': see `ray job logs dynctl-agent-"},
		{"no nats-py anywhere", "ModuleNotFoundError: No module named 'nats'\n", "put nats-py into the Ray image"},
		{"Ray lost the package", "OSError: Failed to download runtime_env file package gcs://x.zip from the GCS", "uploaded again"},
		{"no log at all", "", "it wrote no log"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				cfg := configFor(t, f)
				cfg.BackoffInitial = time.Minute
				s, end := start(t, cfg, f)
				defer end()
				for range 2 { // the first is replaced at once
					pass(time.Second)
					f.end(t, "FAILED", test.log)
				}
				pass(time.Second)
				if got := s.State(); got.Phase != PhaseBackoff || !strings.Contains(got.Message, test.want) || strings.Contains(got.Message, "\n") {
					t.Errorf("state %+v", got)
				}
			})
		})
	}
}

func TestSilentAgentIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		first := s.State().JobID
		f.set(func() { f.jobs[first].muted = true })
		pass(500 * time.Millisecond)
		if got := f.living(); len(got) != 1 || got[0] == first {
			t.Errorf("living %v: want another one than %s", got, first)
		}
	})
}

func TestAgentThatNeverBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		cfg := configFor(t, f)
		cfg.Heartbeat = func() (Heartbeat, bool) { return Heartbeat{Age: time.Hour}, true }
		s, end := start(t, cfg, f)
		defer end()
		pass(59 * time.Second)
		if f.submitted() != 1 || s.State().Phase != PhaseStarting {
			t.Errorf("before StartTimeout: %d jobs, %+v", f.submitted(), s.State())
		}
		pass(2 * time.Second)
		if f.submitted() != 2 || len(f.living()) != 1 || !strings.Contains(s.State().Message, "nats://n:4222") {
			t.Errorf("after it: %d jobs, %v, %+v", f.submitted(), f.living(), s.State())
		}
	})
}

// A reconciler that finds a job knows nothing of what its predecessor thought of it.
func TestSilentAgentThatWasFound(t *testing.T) {
	tests := []struct {
		name string
		beat time.Duration // after the job's start; negative: before it
		want time.Duration // until it is replaced
	}{
		{"it has beaten: it is silent", time.Second, 10 * time.Second},
		{"it has not: it is still starting", -time.Second, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				began := time.Now()
				_, end := start(t, configFor(t, f), f)
				pass(20 * time.Second)
				end()
				cfg := configFor(t, f)
				last := began.Add(test.beat)
				cfg.Heartbeat = func() (Heartbeat, bool) { return Heartbeat{Incarnation: 1, Age: time.Since(last)}, true }
				_, end = start(t, cfg, f)
				defer end()
				pass(test.want - time.Second)
				if f.submitted() != 1 {
					t.Fatalf("it was replaced before %s", test.want)
				}
				pass(2 * time.Second)
				if f.submitted() != 2 || len(f.living()) != 1 {
					t.Errorf("after %s: %d jobs, living %v", test.want, f.submitted(), f.living())
				}
			})
		})
	}
}

// An agent that is killed every half minute heals all the same.
func TestAgentThatIsKilledOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		_, end := start(t, configFor(t, f), f)
		defer end()
		for range 8 {
			pass(20 * time.Second)
			f.end(t, "FAILED", "killed")
			before := f.submitted()
			pass(300 * time.Millisecond)
			if f.submitted() != before+1 {
				t.Fatal("the next one waits")
			}
		}
	})
}

func TestUnreadableStoreConcludesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		cfg := configFor(t, f)
		cfg.Heartbeat = func() (Heartbeat, bool) { return Heartbeat{}, false }
		_, end := start(t, cfg, f)
		defer end()
		pass(10 * time.Minute)
		if f.submitted() != 1 {
			t.Errorf("%d jobs", f.submitted())
		}
	})
}

func TestRayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.down = true
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Minute)
		if got := s.State(); got.Phase != PhaseUnreachable || !strings.Contains(got.Message, "http://ray:8265") || !strings.Contains(got.Message, "--ray-address") {
			t.Errorf("state %+v", got)
		}
		f.set(func() { f.down = false })
		pass(1500 * time.Millisecond)
		job := s.State().JobID
		if s.State().Phase != PhaseRunning {
			t.Fatalf("Ray is there: %+v", s.State())
		}
		f.set(func() { f.down = true })
		pass(time.Minute)
		f.set(func() { f.down = false })
		pass(time.Second)
		if got := s.State(); got.Phase != PhaseRunning || got.JobID != job || f.submitted() != 1 {
			t.Errorf("after a gap: %+v, %d jobs: the agent lived on", got, f.submitted())
		}
	})
}

func TestLostAnswerStartsNoSecondAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.dropAnswer = true
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(3 * time.Second)
		if f.submitted() != 1 || s.State().Phase != PhaseRunning {
			t.Errorf("%d jobs, %+v", f.submitted(), s.State())
		}
	})
}
