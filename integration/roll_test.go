//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// generations are the generations of a model's units.
func (s *Server) generations(model string) []string {
	s.t.Helper()
	var out []string
	for _, u := range s.Units() {
		if u.Model == model && !slices.Contains(out, u.Generation) {
			out = append(out, u.Generation)
		}
	}
	return out
}

// awaitGeneration waits until a model is Ready and all its units are of another
// generation than the given one.
func (s *Server) awaitGeneration(model, old string, timeout time.Duration) string {
	s.t.Helper()
	s.Wait(model, "Ready", timeout)
	Eventually(s.t, timeout, "only new units of "+model, func() bool {
		g := s.generations(model)
		return len(g) == 1 && g[0] != old
	})
	return s.generations(model)[0]
}

// pids are the processes of a model's workers by unit.
func (s *Server) pids(model string) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for _, u := range s.Units() {
		if u.Model == model {
			out[u.Unit] = u.Actors[0].ChildPID
		}
	}
	return out
}

const (
	another  = "engineArgs: {max_num_seqs: 128}"
	athird   = "engineArgs: {max_num_seqs: 64}"
	rollTime = 90 * time.Second
)

// slowStart is a generation that takes so many seconds to start.
func slowStart(t *testing.T, seconds int) string {
	return athird + "\n" + sitecustomize(t, fmt.Sprintf("import sys, time\nif 'dynamo.mocker' in sys.orig_argv:\n    time.sleep(%d)\n", seconds))
}

// TestRollAggregated: a new generation takes over from two replicas, unnoticed.
func TestRollAggregated(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	old := s.generations("m")[0]
	tr := s.Traffic("m")
	began := time.Now()
	s.Set(s.Mocker("m", 2, another))
	s.awaitGeneration("m", old, rollTime)
	within(t, "roll of 2 replicas", time.Since(began), rollTime)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if len(s.Events("rollout-started")) != 1 || len(s.Events("rollout-completed")) != 1 {
		t.Errorf("want one rollout-started and one rollout-completed, got %v", s.Events("rollout-started", "rollout-completed"))
	}
}

// pairs asks a disaggregated model all the time and collects who served.
type pairs struct {
	mu     sync.Mutex
	served []Answer
	errs   []string
	stop   func()
}

func (s *Server) pairs(model string) *pairs {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	p := &pairs{}
	var lanes sync.WaitGroup
	p.stop = func() { cancel(); lanes.Wait() }
	s.t.Cleanup(p.stop)
	for lane := range 4 {
		lanes.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				one, done := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
				a, err := chat(one, s.URL("/v1/chat/completions"), model, fmt.Sprintf("lane %d request %d of a prompt that is long enough", lane, n), 4)
				done()
				p.mu.Lock()
				if err != nil {
					p.errs = append(p.errs, err.Error())
				} else {
					p.served = append(p.served, a)
				}
				p.mu.Unlock()
				time.Sleep(150 * time.Millisecond)
			}
		})
	}
	return p
}

// TestRollDisagg: prefill and decode of different generations never serve one
// request together, and none fails.
func TestRollDisagg(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.MockerDisagg("d", 1, 1))
	s.Wait("d", "Ready", readyIn)
	generation := map[int64]string{}
	learn := func() {
		for _, u := range s.Units() {
			if u.Model == "d" && u.Actors[0].Lease != 0 {
				generation[u.Actors[0].Lease] = u.Generation
			}
		}
	}
	learn()
	old := s.generations("d")[0]
	p := s.pairs("d")
	s.Set(s.MockerDisagg("d", 1, 1, another))
	Eventually(t, rollTime, "only new units", func() bool {
		learn()
		g := s.generations("d")
		return len(g) == 1 && g[0] != old
	})
	s.Wait("d", "Ready", readyIn)
	time.Sleep(2 * time.Second) // requests to the new generation alone
	learn()
	p.stop()
	if len(p.errs) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(p.errs), len(p.errs)+len(p.served), p.errs[:min(3, len(p.errs))])
	}
	count := map[string]int{}
	for _, a := range p.served {
		pre, dec := generation[a.PrefillWorker], generation[a.DecodeWorker]
		if pre != dec || dec == "" {
			t.Errorf("served by prefill %x of generation %q and decode %x of %q", a.PrefillWorker, pre, a.DecodeWorker, dec)
		}
		count[dec]++
	}
	t.Log("measured: requests served by generation:", count)
	if len(count) != 2 {
		t.Errorf("want requests served by both generations, got %v", count)
	}
}

// TestRollSuperseded: a newer edit replaces one whose units still start.
func TestRollSuperseded(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	old := s.generations("m")[0]
	tr := s.Traffic("m")
	s.Set(s.Mocker("m", 2, slowStart(t, 60)))
	Eventually(t, backIn, "the second generation starts", func() bool { return len(s.generations("m")) == 2 })
	s.Set(s.Mocker("m", 2, another))
	s.awaitGeneration("m", old, rollTime)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if len(s.Events("rollout-superseded")) != 1 {
		t.Errorf("rollout-superseded: %v, want one", s.Events("rollout-superseded"))
	}
}

// TestRollEditBack: an edit back to what runs stops nothing that serves.
func TestRollEditBack(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	before := s.pids("m")
	tr := s.Traffic("m")
	s.Set(s.Mocker("m", 2, slowStart(t, 60)))
	Eventually(t, backIn, "the second generation starts", func() bool { return len(s.generations("m")) == 2 })
	s.Set(s.Mocker("m", 2))
	Eventually(t, backIn, "the second generation is gone", func() bool { return len(s.generations("m")) == 1 })
	s.Wait("m", "Ready", readyIn)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	after := s.pids("m")
	for unit, pid := range before {
		if after[unit] != pid {
			t.Errorf("unit %s: process %d became %d, want it untouched", unit, pid, after[unit])
		}
	}
}

// TestRollBadGeneration: what does not start never replaces what serves; a
// rollback ends it.
func TestRollBadGeneration(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	before := s.pids("m")
	tr := s.Traffic("m")
	s.Set(s.Mocker("m", 2, "engineArgs: {no_such_flag: 1}"))
	Eventually(t, backIn, "RolloutStalled", func() bool { return s.Reason("m", "UpToDate") == "RolloutStalled" })
	s.Dynctl("wait", "model/m", "--for", "Available", "--timeout", "10s")
	if len(s.Events("rollout-stalled")) == 0 {
		t.Error("no rollout-stalled event")
	}
	s.Dynctl("rollback", "model/m")
	s.Wait("m", "Ready", readyIn)
	Eventually(t, backIn, "the bad generation is gone", func() bool { return len(s.generations("m")) == 1 })
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	for unit, pid := range s.pids("m") {
		if before[unit] != pid {
			t.Errorf("unit %s runs as %d, want the untouched %d", unit, pid, before[unit])
		}
	}
}

// outage is a time in which nothing runs. One listing does not prove it: it is read
// key by key, and may show one unit before and the next after a change of both.
type outage struct{ seen, proven bool }

func (o *outage) see(running int) {
	o.proven = o.proven || o.seen && running == 0
	o.seen = running == 0
}

// TestRollNoRoom: where nothing can surge, one at a time is replaced.
func TestRollNoRoom(t *testing.T) {
	s := Shared(t).NewServer(t)
	const wide = "resources: {gpus: 4}"
	s.Set(s.Mocker("m", 2, wide))
	s.Wait("m", "Ready", readyIn)
	old := s.generations("m")[0]
	tr := s.Traffic("m")
	s.Set(s.Mocker("m", 2, wide, another))
	var down outage
	Eventually(t, rollTime, "only new units serve", func() bool {
		running, fresh := 0, 0
		for _, u := range s.UnitsOf("m", "") {
			if u.State == "Running" {
				running++
				if u.Generation != old {
					fresh++
				}
			}
		}
		down.see(running)
		return fresh == 2
	})
	s.Wait("m", "Ready", readyIn)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if down.proven {
		t.Error("no worker ran at some moment: more than one was replaced at a time")
	}
}

// TestRollScale: replicas come and go under streams.
func TestRollScale(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	first := s.pids("m")
	tr := s.Traffic("m")
	s.Dynctl("scale", "model/m", "--replicas", "3")
	s.Wait("m", "Ready", readyIn)
	if n := len(s.UnitsOf("m", "")); n != 3 {
		t.Errorf("%d units, want 3", n)
	}
	tr.Flow(20)
	s.Dynctl("scale", "model/m", "--replicas", "1")
	Eventually(t, rollTime, "one unit", func() bool { return len(s.UnitsOf("m", "")) == 1 })
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	for unit, pid := range s.pids("m") {
		if first[unit] != pid {
			t.Errorf("the unit left is %s with process %d, want the first one, %v", unit, pid, first)
		}
	}
}

// TestRollRestart: all are restarted in their actors, one at a time.
func TestRollRestart(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	before := s.Workers("m", "")
	tr := s.Traffic("m")
	s.Dynctl("restart", "model/m")
	var down outage
	Eventually(t, rollTime, "both run attempt 2", func() bool {
		running, again := 0, 0
		for _, u := range s.UnitsOf("m", "") {
			if u.State == "Running" {
				running++
				if u.Actors[0].Attempt == 2 {
					again++
				}
			}
		}
		down.see(running)
		return again == 2
	})
	s.Wait("m", "Ready", readyIn)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if down.proven {
		t.Error("both were down at some moment")
	}
	for i, w := range s.Workers("m", "") {
		if w.PID != before[i].PID || w.Name != before[i].Name {
			t.Errorf("%s runs in actor process %d, want %d: a restart is in place", w.Name, w.PID, before[i].PID)
		}
	}
}

// TestRollSuspend: suspended, nothing runs and the spec stays; resumed, it serves.
func TestRollSuspend(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	s.Dynctl("suspend", "model/m")
	s.Wait("m", "Suspended", readyIn)
	Eventually(t, readyIn, "no unit", func() bool { return len(s.UnitsOf("m", "")) == 0 })
	s.Dynctl("resume", "model/m")
	s.Wait("m", "Ready", readyIn)
	s.Chat("m", "back?", 4)
}

// TestRollBack: the revision before the newest runs again.
func TestRollBack(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1))
	s.Wait("m", "Ready", readyIn)
	first := s.generations("m")[0]
	s.Set(s.Mocker("m", 1, another))
	second := s.awaitGeneration("m", first, rollTime)
	tr := s.Traffic("m")
	s.Dynctl("rollback", "model/m")
	if third := s.awaitGeneration("m", second, rollTime); third != first {
		t.Errorf("rolled back to generation %s, want %s", third, first)
	}
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	if !strings.Contains(s.Dynctl("history", "model/m"), "rollback") {
		t.Log("history does not say that it was a rollback:\n" + s.Dynctl("history", "model/m"))
	}
}
