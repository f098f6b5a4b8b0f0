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

// TestHealEtcd: it comes back with its data, and nobody notices.
func TestHealEtcd(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.healInfra("ETCD").RequireNone(t)
}

// TestHealEtcdAgainAndAgain: what has run for a while is not made to wait, however often
// it is killed, and the scale-down that comes then waits for the frontend, whose watches
// take their time after each.
func TestHealEtcdAgainAndAgain(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")
	for attempt := 2; attempt <= 4; attempt++ {
		victim := s.infraThatRan("ETCD")
		killed := time.Now()
		Signal(t, victim.ChildPID, syscall.SIGKILL)
		next := s.AwaitAttempt("infra", "_Dynamo_ETCD", attempt, backIn)
		within(t, fmt.Sprintf("SIGKILL to exec %d", attempt), next.StartedAt.Sub(killed), time.Second)
	}
	asked := time.Now()
	s.Set(s.Mocker("m", 1))
	Eventually(t, readyIn, "one unit", func() bool { return len(s.UnitsOf("m", "")) == 1 })
	t.Logf("measured: scaled down %.1f s after it was asked for", time.Since(asked).Seconds())
	tr.Flow(60)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
}

// TestHealNATS: no request fails, whatever carries them, but what is on the wire. With nats the frontend is held
// until the workers have subscribed again; without that it sets them aside for 5 s.
func TestHealNATS(t *testing.T) {
	for _, plane := range []string{"tcp", "nats"} {
		t.Run(plane, func(t *testing.T) {
			s := Shared(t).NewServer(t, "requestPlane: "+plane)
			r := s.healInfra("NATS")
			if plane == "nats" {
				r.requireAfterNATS(t, 1)
				return
			}
			within(t, "longest time without an answer", r.Gap, 2*time.Second)
			r.RequireNone(t)
		})
	}
}

const (
	// onTheWire is what a death of NATS or of a worker may take with it with the request
	// plane nats: requests that the frontend has sent and the worker has not received.
	// Where no other worker can be asked they fail, elsewhere they are late. No other one
	// can be asked either where each lost one: then all are set aside at once.
	onTheWire = 3
	// natsTimeout is how long the frontend waits for one of those, and setAside how long
	// it then sends nothing to the worker (docs/dynamo.md, "When NATS is executed again").
	natsTimeout, setAside = 10 * time.Second, 5 * time.Second
)

// requireAfterNATS judges the traffic to a lone worker while NATS died so many times: what
// Dynamo loses by itself is allowed, and no more.
func (r TrafficResult) requireAfterNATS(t *testing.T, deaths int) {
	t.Helper()
	if r.Slowest < natsTimeout {
		within(t, "longest time without an answer", r.Gap, 2*time.Second)
		r.RequireAtMost(t, deaths*onTheWire)
		return
	}
	t.Logf("measured: a request was lost on the wire, and the frontend set the worker aside: %s", r)
	within(t, "longest time without an answer", r.Gap, time.Duration(deaths)*setAside+2*time.Second)
}

// requireNoneUnlessAllLost wants no request to have failed while the frontend had one of so
// many workers to ask: that is until so many requests have hung within setAside.
func (r TrafficResult) requireNoneUnlessAllLost(t *testing.T, workers int) {
	t.Helper()
	for _, failed := range r.Failed {
		aside := 0
		for _, hung := range r.Hung {
			if hung <= failed && failed-hung <= setAside {
				aside++
			}
		}
		if aside < workers {
			t.Errorf("a request failed at %s with %d of %d workers set aside: %s; hung until %v",
				failed, aside, workers, strings.Join(r.Errors, "; "), r.Hung)
		}
	}
	r.RequireAtMost(t, len(r.Failed))
}

// TestHealNATSAgainAndAgain: what is a matter of luck once shows when it is repeated.
func TestHealNATSAgainAndAgain(t *testing.T) {
	s := Shared(t).NewServer(t, "requestPlane: nats")
	s.Set(s.Mocker("one", 1), s.Mocker("two", 2))
	s.Wait("one", "Ready", readyIn)
	s.Wait("two", "Ready", readyIn)
	one, two := s.Traffic("one"), s.Traffic("two")
	const deaths = 5
	worker := s.Workers("one", "")[0]
	for range deaths {
		victim := s.infraThatRan("NATS")
		Signal(t, victim.ChildPID, syscall.SIGKILL)
		s.AwaitAttempt("infra", "_Dynamo_NATS", victim.Attempt+1, backIn)
		one.Flow(20)
		two.Flow(20)
	}
	r := one.Stop()
	t.Log("measured: one worker:", r, r.Errors)
	r.requireAfterNATS(t, deaths)
	if w := s.Workers("one", "")[0]; w.Attempt != 1 || w.Lease != worker.Lease {
		t.Errorf("the worker runs attempt %d with lease %x, want attempt 1 with %x", w.Attempt, w.Lease, worker.Lease)
	}
	r = two.Stop()
	t.Log("measured: two workers:", r, r.Errors)
	r.requireNoneUnlessAllLost(t, 2)
}

// healInfra kills etcd or NATS under traffic to one worker, which has to live on.
func (s *Server) healInfra(name string) TrafficResult {
	t := s.t
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	worker := s.Workers("m", "")[0]
	tr := s.Traffic("m")
	victim := s.InfraActor(name)
	killed := time.Now()
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	next := s.AwaitAttempt("infra", "_Dynamo_"+name, 2, backIn)
	tr.Flow(60)
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
	within(t, "SIGKILL to the next exec", next.StartedAt.Sub(killed), 2*time.Second)
	port := strings.ToLower(name)
	if next.Ports[port] != victim.Ports[port] {
		t.Errorf("came back on port %d, want %d", next.Ports[port], victim.Ports[port])
	}
	if w := s.Workers("m", "")[0]; w.Attempt != 1 || w.Lease != worker.Lease {
		t.Errorf("the worker runs attempt %d with lease %x, want attempt 1 with %x", w.Attempt, w.Lease, worker.Lease)
	}
	s.Wait("m", "Ready", readyIn)
	s.requireClosed()
	return r
}

// TestHealEtcdWithoutItsData: nothing registers again by itself, so all is
// restarted at once instead of when the leases run out.
func TestHealEtcdWithoutItsData(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	tr := s.Traffic("m")

	data := filepath.Join(s.Env.Stack.TempDir(), "session_latest", "nemo_curator_dynamo_"+s.Name+"_infra", "etcd_data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	Signal(t, s.InfraActor("ETCD").ChildPID, syscall.SIGKILL)
	for _, u := range s.UnitsOf("m", "") {
		s.AwaitAttempt(u.Unit, u.Actors[0].Name, 2, backIn)
	}
	s.AwaitAttempt("infra", "_Dynamo_Frontend", 2, backIn)
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r)
	within(t, "longest time without an answer", r.Gap, 20*time.Second)
	s.Wait("m", "Ready", readyIn)
	for _, w := range s.Workers("m", "") {
		if w.Attempt != 2 {
			t.Errorf("%s runs attempt %d, want each restarted once", w.Name, w.Attempt)
		}
	}
}

// infraThatRan is etcd, NATS or the frontend once it has run for longer than it would be
// made to wait.
func (s *Server) infraThatRan(name string) (a state.Actor) {
	s.t.Helper()
	Eventually(s.t, backIn, name+" has run for 3 s", func() bool {
		a = s.InfraActor(name)
		return a.ChildPID != 0 && time.Since(a.StartedAt) > 3*time.Second
	})
	return a
}

// TestHealHungInfra: the frontend, etcd and NATS are executed again when they give no
// answer at all, before any lease of a worker ends.
func TestHealHungInfra(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	worker := s.Workers("m", "")[0]
	for _, name := range []string{"Frontend", "ETCD", "NATS"} {
		t.Run(name, func(t *testing.T) {
			hung := s.InfraActor(name)
			stopped := time.Now()
			Signal(t, hung.ChildPID, syscall.SIGSTOP)
			next := s.AwaitAttempt("infra", "_Dynamo_"+name, hung.Attempt+1, backIn)
			within(t, "SIGSTOP to the next exec", next.StartedAt.Sub(stopped), 20*time.Second)
			RequireGone(t, hung.ChildPID)
			Eventually(t, backIn, "an answer", func() bool {
				_, err := chat(t.Context(), s.URL("/v1/chat/completions"), "m", "hello", 4)
				return err == nil
			})
		})
	}
	if w := s.Workers("m", "")[0]; w.Attempt != worker.Attempt || w.Lease != worker.Lease {
		t.Errorf("the worker runs attempt %d with lease %x, want attempt %d with %x", w.Attempt, w.Lease, worker.Attempt, worker.Lease)
	}
}
