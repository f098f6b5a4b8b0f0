package ray

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// turning is a resolver whose answer is the test's.
type turning struct {
	mu      sync.Mutex
	way     Endpoint
	err     error
	changed chan struct{}
}

func newTurning(way Endpoint) *turning {
	return &turning{way: way, changed: make(chan struct{}, 1)}
}

func (r *turning) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (r *turning) Endpoint(context.Context) (Endpoint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.way, r.err
}

func (r *turning) Changed() <-chan struct{} { return r.changed }

func (r *turning) turn(way Endpoint, err error) {
	r.mu.Lock()
	r.way, r.err = way, err
	r.mu.Unlock()
	wake(r.changed)
}

// A token that is rotated is taken at once, and the job goes on.
func TestTheTokenIsRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.token = "one"
		way := Endpoint{URL: "http://ray:8265", Token: "one", TokenFrom: "Secret ml/prod"}
		resolver := newTurning(way)
		cfg := configFor(t, f)
		cfg.Resolver, cfg.Token = resolver, func() (string, error) { return "of the environment", nil }
		s, end := start(t, cfg, f)
		defer end()
		pass(time.Second)
		job := s.State().JobID
		f.set(func() { f.token = "two" })
		pass(time.Second)
		if st := s.State(); st.Phase != PhaseUnreachable || st.Failing.Message != "" || st.Notice.Reason != actors.RayTokenRefused ||
			!strings.Contains(st.Notice.Message, "Secret ml/prod") || !strings.Contains(st.Notice.Way, "pods") {
			t.Errorf("an agent is there and Ray refuses: %+v", st)
		}
		way.Token = "two"
		resolver.turn(way, nil)
		pass(time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.JobID != job || st.Notice.Reason != "" || f.submitted() != 1 {
			t.Errorf("with the new token: %+v", st)
		}
	})
}

// The file that the environment names is read again, also before there is an agent; without
// it the last token counts.
func TestTheFileOfTheTokenIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	t.Setenv("RAY_AUTH_MODE", "token")
	t.Setenv("RAY_AUTH_TOKEN", "")
	t.Setenv("RAY_AUTH_TOKEN_PATH", file)
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		f.token = "one"
		var log bytes.Buffer
		cfg := configFor(t, f)
		cfg.Token, cfg.Log = TokenFromEnv, slog.New(slog.NewTextHandler(&log, nil))
		s, end := start(t, cfg, f)
		defer end()
		pass(5 * time.Second)
		if st := s.State(); st.Failing.Reason != actors.RayTokenRefused || f.submitted() != 0 || strings.Count(log.String(), file) != 1 {
			t.Errorf("without the file: %+v, and the log says %s", st, log.String())
		}
		write("one")
		pass(20 * time.Second)
		job := s.State().JobID
		if st := s.State(); st.Phase != PhaseRunning {
			t.Errorf("with the file: %+v", st)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning {
			t.Errorf("without it again: %+v", st)
		}
		write("") // as while it is written
		pass(5 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning {
			t.Errorf("while it is empty: %+v", st)
		}
		f.set(func() { f.token = "two" })
		write("two")
		pass(5 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.JobID != job || f.submitted() != 1 {
			t.Errorf("with another: %+v, %d jobs", st, f.submitted())
		}
	})
}

// A token that is refused before there is an agent is a failure with its reason.
func TestTheTokenIsRefused(t *testing.T) {
	for name, code := range map[string]int{"none": http.StatusUnauthorized, "another": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				f.refuse = code
				s, end := start(t, configFor(t, f), f)
				defer end()
				pass(5 * time.Second)
				if st := s.State(); st.Failing.Reason != actors.RayTokenRefused || !strings.Contains(st.Failing.Message, "RAY_AUTH_TOKEN") || st.Notice != (state.RayNotice{}) {
					t.Errorf("state %+v", st)
				}
				f.set(func() { f.refuse = 0 })
				pass(20 * time.Second)
				if st := s.State(); st.Phase != PhaseRunning || st.Failing.Message != "" {
					t.Errorf("taken at last: %+v", st)
				}
			})
		})
	}
}

// What keeps an agent away is a notice while one is heard and a failure after that; it
// ends with its cause, and the job that lived on is taken up again.
func TestTheClusterIsSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		resolver := newTurning(Endpoint{URL: "http://ray:8265"})
		cfg := configFor(t, f)
		cfg.Resolver = resolver
		s, end := start(t, cfg, f)
		defer end()
		pass(time.Second)
		resolver.turn(Endpoint{}, &clusterError{actors.RayClusterSuspending, "RayCluster ml/prod is being suspended", "resume it", ErrNotReady})
		pass(2 * time.Second)
		if st := s.State(); st.Phase != PhaseWaiting || st.Notice.Reason != actors.RayClusterSuspending || st.Failing.Message != "" {
			t.Errorf("while the agent lives: %+v", st)
		}
		for _, id := range f.living() {
			f.set(func() { f.jobs[id].muted = true })
		}
		pass(2 * time.Second)
		if st := s.State(); st.Failing.Reason != actors.RayClusterSuspending || st.Failing.Way != "resume it" || st.Notice.Reason != "" || f.submitted() != 1 {
			t.Errorf("once it is silent: %+v", st)
		}
		for _, id := range f.living() {
			f.set(func() { f.jobs[id].muted = false })
		}
		resolver.turn(Endpoint{URL: "http://ray:8265"}, nil)
		pass(2 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.Failing.Message != "" || st.Notice.Reason != "" || f.submitted() != 1 {
			t.Errorf("resumed: %+v", st)
		}
	})
}

// A dashboard that does not answer is told after a while: as a notice while an agent is
// heard, and as the failure after that, whatever ended before.
func TestADashboardThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		job := s.State().JobID
		f.set(func() { f.down = true })
		pass(unanswered - time.Second)
		if st := s.State(); st.Phase != PhaseUnreachable || st.Notice != (state.RayNotice{}) {
			t.Errorf("for a moment: %+v", st)
		}
		pass(2 * time.Second)
		if st := s.State(); st.Failing.Message != "" || st.Notice.Reason != actors.RayUnreachable || !strings.Contains(st.Notice.Way, "--ray-address") {
			t.Errorf("while an agent is heard: %+v", st)
		}
		f.set(func() { f.jobs[job].muted = true })
		pass(5 * time.Second)
		if st := s.State(); st.Failing.Reason != actors.RayUnreachable || st.Failing.Up || st.Notice != (state.RayNotice{}) {
			t.Errorf("once it is silent: %+v", st)
		}
		f.set(func() { f.jobs[job].muted, f.down = false, false })
		pass(2 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.JobID != job || st.Failing.Message != "" || st.Notice != (state.RayNotice{}) {
			t.Errorf("back again: %+v", st)
		}
	})
}

// A dashboard that takes requests and answers none, as while Ray's tables (its GCS) hang, is
// told as soon as one that refuses them: the time in which a request waited counts.
func TestADashboardThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		f.set(func() { f.hangs = true })
		pass(unanswered - time.Second)
		if st := s.State(); st.Notice != (state.RayNotice{}) {
			t.Errorf("for a moment: %+v", st)
		}
		pass(3 * time.Second)
		if st := s.State(); st.Notice.Reason != actors.RayUnreachable || !strings.Contains(st.Notice.Message, "nothing within 10s") {
			t.Errorf("after %s: %+v", unanswered, st)
		}
		f.set(func() { f.hangs = false })
		pass(unanswered + time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.Notice != (state.RayNotice{}) {
			t.Errorf("back again: %+v", st)
		}
	})
}

// A request that waited longer than any may has seen this process stopped: that says nothing of
// the dashboard.
func TestARequestThatWasStoppedWithThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		s.acting.Lock()
		defer s.acting.Unlock()
		s.asked = time.Now().Add(-requestTimeout - time.Minute)
		if found := s.troubled(ErrUnreachable); found != (state.AgentFailure{}) {
			t.Errorf("told of the dashboard: %+v", found)
		}
	})
}

// The time in which this process was stopped is none in which a dashboard did not answer, nor one
// in which a job did not come up.
func TestAStopOfThisProcessCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		f.set(func() { f.down = true })
		pass(unanswered - time.Second)
		s.excuse(overslept / 2) // it was only busy
		s.excuse(5 * time.Second)
		pass(4 * time.Second)
		if st := s.State(); st.Notice != (state.RayNotice{}) {
			t.Errorf("before it could have answered for so long: %+v", st)
		}
		pass(3 * time.Second)
		if st := s.State(); st.Notice.Reason != actors.RayUnreachable {
			t.Errorf("after that: %+v", st)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		cfg := configFor(t, f)
		cfg.StartTimeout = time.Minute
		cfg.Heartbeat = func() (Heartbeat, bool) { return Heartbeat{Age: time.Hour}, true }
		s, end := start(t, cfg, f)
		defer end()
		pass(cfg.StartTimeout - time.Second)
		s.excuse(20 * time.Second)
		pass(20 * time.Second)
		if f.submitted() != 1 {
			t.Errorf("a job that had no time to come up was replaced: %d", f.submitted())
		}
	})
}

// An agent that is not heard is at no work, also where Ray cannot say that its job has ended.
func TestAFailingAgentThatIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		s, end := start(t, configFor(t, f), f)
		defer end()
		for range flaps {
			pass(2 * time.Second)
			f.end(t, "FAILED", "Killed\n")
		}
		pass(6 * time.Second)
		if st := s.State(); st.Failing.Message == "" || !st.Failing.Up {
			t.Fatalf("with an agent at work: %+v", st)
		}
		f.set(func() { f.down, f.jobs[s.State().JobID].muted = true, true })
		pass(5 * time.Second)
		if st := s.State(); st.Failing.Message == "" || st.Failing.Up {
			t.Errorf("its agent is silent: %+v", st)
		}
	})
}

func TestWhyADashboardDoesNotAnswer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 40123}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"nobody listens", refused, "the Ray dashboard at http://ray:8265 does not answer (connect: connection refused)"},
		{"without the port of the connection", reset, "the Ray dashboard at http://ray:8265 does not answer (read: connection reset by peer)"},
		{"it hangs", context.DeadlineExceeded, "the Ray dashboard at http://ray:8265 does not answer (nothing within 10s)"},
		{"another certificate", ErrUntrusted, "the Ray dashboard at http://ray:8265 does not prove what it is"},
	} {
		if got := unreachableAt("http://ray:8265", fmt.Errorf("ask for a job: %w: %w", ErrUnreachable, row.err)); got.Message != row.want || got.Way == "" {
			t.Errorf("%s: %+v, want %s", row.name, got, row.want)
		}
	}
}
