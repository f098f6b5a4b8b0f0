package ray

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/actors"
)

const recursion = `{"time": "2026-11-27T00:30:00+00:00", "level": "info", "msg": "in charge", "incarnation": 7, "units": 0}
Traceback (most recent call last):
  File "/tmp/ray/session/dynctl_agent/__main__.py", line 30, in main
    return asyncio.run(run(Agent, config))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  [Previous line repeated 970 more times]
RecursionError: maximum recursion depth exceeded
`

// What Ray and the agent's own log say of jobs that ended or do not start; most of them
// were recorded with Ray 2.60.
func TestCauseOfAJob(t *testing.T) {
	tests := []struct {
		name, text, cause, way string
	}{
		{"an exception", recursion, "RecursionError: maximum recursion depth exceeded", "3.10 to 3.14"},
		{"what it was raised from", "Traceback (most recent call last):\n  File \"a.py\", line 1\nTypeError: cannot pickle 'SSLContext' object\n\n" +
			"The above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b.py\"\nTypeError: Could not serialize the actor class\n",
			"TypeError: cannot pickle 'SSLContext' object", "3.10 to 3.14"},
		{"what was raised while another was handled", "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'\n\n" +
			"During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\"\nmy.pkg.Wrong: no x\n",
			"Wrong: no x", ""},
		{"an import", "Traceback (most recent call last):\n  File \"<frozen runpy>\", line 198, in _run_module_as_main\nModuleNotFoundError: No module named 'nats'\n",
			"ModuleNotFoundError: No module named 'nats'", "put nats-py into the Ray image"},
		{"no Ray in this Python", "Traceback (most recent call last):\n  File \"x\"\nModuleNotFoundError: No module named 'ray'\n", "ModuleNotFoundError: No module named 'ray'", "first on PATH"},
		{"no package", "/usr/bin/python: No module named dynctl_agent\n", "/usr/bin/python: No module named dynctl_agent", "uploaded again"},
		{"no Python", "/bin/sh: 1: python: not found\n", "/bin/sh: 1: python: not found", "first on PATH"},
		{"no Python, said by bash", "sh: line 1: python: command not found\n", "sh: line 1: python: command not found", "first on PATH"},
		{"another Python than the cluster's", "Traceback (most recent call last):\n  File \"x\"\nRuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\nThis process on node 10.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n",
			"RuntimeError: Version mismatch: The cluster was started with: Ray: 2.60.0 Python: 3.11.2 This process on node 10.0.0.1 was started with: Ray: 2.60.0 Python: 3.12.1", "another one than the cluster's"},
		{"a Python that is too old", "  File \"/tmp/dynctl_agent/__main__.py\", line 3\nTraceback (most recent call last):\n  File \"x\", line 3\n    from __future__ import annotations\n    ^\nSyntaxError: future feature annotations is not defined\n",
			"SyntaxError: future feature annotations is not defined", "Python 3.10 to 3.14"},
		{"the agent says it", `{"level": "info", "msg": "connecting"}` + "\n" + `{"level": "error", "msg": "the agent failed", "error": "NoServersError('nats: no servers available for connection')"}` + "\n" + `{"level": "info", "msg": "bye"}`,
			"the agent failed: NoServersError('nats: no servers available for connection')", "--advertise-nats-url"},
		{"a traceback that ended nothing", "Exception ignored in: <function f>\nTraceback (most recent call last):\n  File \"x\"\nValueError: harmless\n" +
			`{"level": "error", "msg": "the agent ends", "reason": "Ray is gone"}`, "the agent ends: Ray is gone", ""},
		{"Ray's message on a runtime environment", "runtime_env setup failed: Failed to set up runtime environment.\nCould not create the actor because its associated runtime env failed to be created.\n" +
			"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nOSError: Failed to download runtime_env file package gcs://_ray_pkg_1.zip from the GCS to the Ray worker node. The package may have prematurely been deleted from the GCS due to a long upload time or a problem with Ray.\n",
			"OSError: Failed to download runtime_env file package", "uploaded again"},
		{"one that cannot be written", "runtime_env setup failed: Failed to set up runtime environment.\nTraceback (most recent call last):\n  File \"a.py\"\nOSError: [Errno 28] No space left on device: '/tmp/ray'\n",
			"OSError: [Errno 28] No space left on device: '/tmp/ray'", "make room"},
		{"a job that waits", "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available. It may be waiting for the runtime environment to be set up.",
			"Job has not started yet.", "runtime_env_setup"},
		{"a supervisor that does not start", "Job supervisor actor failed to start within 900.0 seconds. This timeout can be configured by setting the environment variable RAY_JOB_START_TIMEOUT_SECONDS.",
			"Job supervisor actor failed to start within 900.0 seconds.", "ray status"},
		{"a warning is no end", `{"level": "warn", "msg": "NATS error", "error": "TimeoutError()"}` + "\nKilled\n", "Killed", "too little memory"},
		{"a killed job", "Job entrypoint command failed with exit code -9", "exit code -9", "too little memory"},
		{"nothing", "\n \n", "", ""},
		{"what Ray says before anything runs", "2026-11-28 11:30:02,001\tINFO job_manager.py:568 -- Running entrypoint for job dynctl-agent-1: python -m dynctl_agent --config eyJ=\n", "", ""},
		{"a very long line", "x " + strings.Repeat("é", 2000), "x é", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cause := causeOf(test.text)
			if !strings.Contains(cause, test.cause) || (cause == "") != (test.cause == "") || len(cause) > maxCause+len("…") {
				t.Errorf("cause %q, want %q", cause, test.cause)
			}
			if way := wayOf(cause); !strings.Contains(way, test.way) || (way == "") != (test.way == "") {
				t.Errorf("way %q, want %q", way, test.way)
			}
		})
	}
}

// A job of which nothing is left but what Ray says.
func TestCauseFromRaysMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		for _, c := range []struct{ log, message, want string }{
			{"", "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\nKeyError: 1\n", "KeyError: 1"},
			{`{"level": "info", "msg": "in charge"}`, "Job entrypoint command failed with exit code -9, last available logs (truncated to 20,000 chars):\n{}\n", "exit code -9"},
		} {
			pass(10 * time.Second)
			f.set(func() { f.jobs[s.State().JobID].info.Message = c.message })
			f.end(t, "FAILED", c.log)
			pass(400 * time.Millisecond)
			if got := s.State().Message; !strings.Contains(got, c.want) {
				t.Errorf("message %q, want %q in it", got, c.want)
			}
		}
	})
}

// The agent's job ends as soon as it runs, each time: AgentFailing from the second end
// on, until one of them stays.
func TestFailingAtOnceAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		f.end(t, "FAILED", recursion)
		pass(400 * time.Millisecond)
		if got := s.State().Failing; got.Message != "" {
			t.Errorf("one end may be an accident: %+v", got)
		}
		for range 3 {
			pass(8 * time.Second)
			f.end(t, "FAILED", recursion)
			pass(400 * time.Millisecond)
			got := s.State().Failing
			if want := "the agent's job ended (FAILED): RecursionError: maximum recursion depth exceeded"; got.Message != want || !strings.Contains(got.Way, "3.10 to 3.14") || got.Job == "" || got.Up {
				t.Fatalf("failing %+v, want %s", got, want)
			}
		}
		pass(8 * time.Second)
		if got := s.State(); got.Phase != PhaseRunning || got.Failing.Message == "" || !got.Failing.Up {
			t.Errorf("a new life of 3 s proves nothing, and an agent is at work: %+v", got)
		}
		pass(15 * time.Second)
		if got := s.State(); got.Failing.Message != "" {
			t.Errorf("it stays, and is still called failing: %+v", got)
		}
	})
}

// The agent dies after some time, again and again: long enough to be stable each time.
func TestFailingAfterSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		for n := range 4 {
			pass(time.Minute)
			if got := s.State().Failing; (got.Message != "") != (n >= flaps) {
				t.Errorf("after %d ends: %+v", n, got)
			}
			f.end(t, "FAILED", "MemoryError\n")
			pass(400 * time.Millisecond)
		}
		if got := s.State().Failing; !got.Up || !strings.Contains(got.Message, "MemoryError") {
			t.Errorf("%+v", got)
		}
		pass(121 * time.Second) // twice as long as any lived
		if got := s.State().Failing; got.Message != "" {
			t.Errorf("it lives longer than ever: %+v", got)
		}
	})
}

// Ends that are far apart are accidents.
func TestNotFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		for range 5 {
			pass(9 * time.Minute)
			f.end(t, "FAILED", "boom")
			pass(400 * time.Millisecond)
			if got := s.State().Failing; got.Message != "" {
				t.Errorf("%+v", got)
			}
		}
		// A head that is restarted is no fault of the agent's.
		for range 5 {
			pass(time.Second)
			f.set(func() { clear(f.jobs) })
			pass(6 * time.Second)
			if got := s.State().Failing; got.Message != "" {
				t.Errorf("%+v", got)
			}
		}
	})
}

// Ray does not start the job: no room for it, or its environment is never ready.
func TestFailingWhilePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.pending = "Job has not started yet. It may be waiting for the runtime environment to be set up."
		cfg := configFor(t, f)
		s, end := start(t, cfg, f)
		defer end()
		pass(29 * time.Second)
		if got := s.State(); got.Failing.Message != "" || got.Phase != PhaseStarting {
			t.Errorf("a slow start is none that fails: %+v", got)
		}
		pass(2 * time.Second)
		if got := s.State().Failing; !strings.Contains(got.Message, "has not been started by Ray for 30s: Job has not started yet.") || got.Way == "" {
			t.Errorf("%+v", got)
		}
		pass(32 * time.Second)
		if f.submitted() != 2 || s.State().Failing.Message == "" {
			t.Errorf("%d jobs, %+v", f.submitted(), s.State())
		}
		f.set(func() { f.pending = "" })
		pass(2 * time.Minute)
		if got := s.State(); got.Failing.Message != "" || got.Phase != PhaseRunning {
			t.Errorf("healed, and still %+v", got)
		}
	})
}

// The job runs and its agent is never heard: its log may know, of what the agent tries
// again.
func TestFailingWithoutHeartbeat(t *testing.T) {
	warned := func(msg, err string) string {
		return `{"level": "info", "msg": "the agent starts"}` + "\n" + `{"level": "warn", "msg": "` + msg + `", "error": "` + err + `"}` + "\n"
	}
	for _, test := range []struct{ name, log, cause, way string }{
		{"nobody listens", warned("no NATS yet", "ConnectionRefusedError(111, 'Connect call failed')"), "no NATS yet: ConnectionRefusedError", "has to reach the reconciler's NATS"},
		{"a certificate of another authority", warned("NATS error", "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:992)')"), "unable to get local issuer", "--tls-ca"},
		{"one for another host", warned("NATS error", `SSLCertVerificationError(1, \"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate is not valid for '10.0.0.1'. (_ssl.c:992)\")`), "IP address mismatch", "--tls-ca"},
		{"one that has ended", warned("NATS error", "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:992)')"), "certificate has expired", "--tls-ca"},
		{"a protocol that is too old", warned("NATS error", "SSLError(1, '[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version (_ssl.c:992)')"), "protocol version", "--tls-ca"},
		{"whoever answers speaks no TLS", warned("NATS error", "Error('nats: TLS is demanded, and whoever answers here speaks none')"), "speaks none", "--tls-ca"},
		{"an error counts more than a warning", warned("NATS error", "TimeoutError()") + `{"level": "error", "msg": "the agent fails", "error": "OSError(28, 'No space left on device')"}` + "\n" + warned("NATS error", "TimeoutError()"), "the agent fails: OSError", "make room"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				cfg := configFor(t, f)
				cfg.Heartbeat = func() (Heartbeat, bool) { return Heartbeat{Age: time.Hour}, true }
				s, end := start(t, cfg, f)
				defer end()
				pass(time.Second)
				f.set(func() { f.jobs[s.State().JobID].log = test.log })
				pass(30 * time.Second)
				if got := s.State().Failing; !strings.Contains(got.Message, "no heartbeat within 30s: ") || !strings.Contains(got.Message, test.cause) || !strings.Contains(got.Way, test.way) {
					t.Errorf("%+v, want %q with %q", got, test.cause, test.way)
				}
			})
		})
	}
}

// The dashboard answers and does not take the job.
func TestFailingSubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.refuse, f.body = 500, "No available agent to submit job, please try again later."
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(10 * time.Second)
		if got := s.State().Failing; !strings.Contains(got.Message, "No available agent to submit job") {
			t.Errorf("%+v", got)
		}
		f.set(func() { f.refuse = 0 })
		pass(10 * time.Second)
		if got := s.State(); got.Failing.Message != "" || got.Phase != PhaseRunning {
			t.Errorf("%+v", got)
		}
		f.set(func() { f.down = true }) // Ray is away: that says the phase
		pass(time.Minute)
		if got := s.State(); got.Failing.Message != "" || got.Phase != PhaseUnreachable {
			t.Errorf("%+v", got)
		}
	})
}

// A cluster that was never reached is told under its own reason, and not as an agent that fails.
func TestUnreachableIsNotAFailingAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.down = true
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(5 * time.Minute)
		if got := s.State(); got.Failing.Reason != actors.RayUnreachable || got.Failures != 0 || got.Phase != PhaseUnreachable {
			t.Errorf("%+v", got)
		}
	})
}

// A refusal of Ray's that says what to do about it is told with that.
func TestWayOfARefusal(t *testing.T) {
	f := failureOf(&StatusError{Method: "POST", Path: "/api/jobs/", Code: 500, Body: diskFull}, "")
	if !strings.HasSuffix(f.Message, "No space left on device") || !strings.Contains(f.Way, "make room") {
		t.Errorf("got %+v", f)
	}
}
