//go:build integration

package integration

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// get asks once; code 0: no answer within a second.
func get(t *testing.T, url string) (code int, text string) {
	t.Helper()
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// awaitAgent waits until a later agent than the one given is in charge, and works.
func (e *Env) awaitAgent(t *testing.T, before uint64, timeout time.Duration) {
	t.Helper()
	Eventually(t, timeout, "another agent is in charge", func() bool {
		a := e.Agent(t)
		return a.Incarnation > before && a.Synced
	})
}

// TestDeathOfTheControlPlane: whatever becomes of the reconciler and the agent, no
// process that serves is touched, and no request fails.
func TestDeathOfTheControlPlane(t *testing.T) {
	s := serving(t)
	e := s.Env
	killReconciler := func() {
		e.EndReconciler(t, syscall.SIGKILL)
		e.StartReconciler(t)
	}
	for _, tc := range []struct {
		name string
		// harm does it and waits until all is well again.
		harm func(t *testing.T)
	}{
		{"reconciler killed", func(*testing.T) { killReconciler() }},
		{"agent killed", func(t *testing.T) {
			a := e.Agent(t)
			Signal(t, a.PID, syscall.SIGKILL)
			e.awaitAgent(t, a.Incarnation, readyIn)
		}},
		{"both killed", func(t *testing.T) {
			a := e.Agent(t)
			Signal(t, a.PID, syscall.SIGKILL)
			killReconciler()
			e.awaitAgent(t, a.Incarnation, readyIn)
		}},
		{"agent paused until its successor works", func(t *testing.T) {
			a := e.Agent(t)
			Signal(t, a.PID, syscall.SIGSTOP)
			e.awaitAgent(t, a.Incarnation, readyIn)
			if Alive(a.PID) {
				// Ray may have ended it meanwhile.
				_ = syscall.Kill(a.PID, syscall.SIGCONT)
			}
			RequireGone(t, a.PID)
		}},
		{"upgraded from a store that let everybody in", e.openAndClose},
		{"to TLS, whose certificate is renewed and ends, and back", e.toTLSAndBack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := *s
			s.t = t
			before := s.executions("", "plain")
			load := s.Load("plain", 20)
			harmed := time.Now()
			tc.harm(t)
			within(t, tc.name+", and at work again", time.Since(harmed), readyIn)
			// A command goes all the way through the successor.
			s.Set(s.Mocker("probe", 1))
			s.Wait("probe", "Ready", readyIn)
			s.Delete("model/probe")
			s.Wait("probe", "deleted", time.Minute)
			requireNoFailure(t, load.Stop())
			requireNoRestart(t, before, s.executions("", "plain"))
			if got := s.condition("plain", "Ready"); !strings.HasPrefix(got, "True") {
				t.Errorf("Ready is %s", got)
			}
		})
	}
}

// openAndClose starts the reconciler on a store that lets everybody in, and then as it is by
// itself. The agent is another one each time.
func (e *Env) openAndClose(t *testing.T) {
	t.Helper()
	for _, first := range []string{storeOpen, storeClosed} {
		a := e.Agent(t)
		e.restartWith(t, first)
		e.awaitAgent(t, a.Incarnation, readyIn)
		nc, err := nats.Connect(e.natsURL()) // as nobody
		if err == nil {
			nc.Close()
		}
		if closed := errors.Is(err, nats.ErrAuthorization); closed != (first == storeClosed) {
			t.Errorf("%s: a stranger is answered %v", first, err)
		}
	}
}

// TestTwoReconcilers: on one NATS one acts and the other stands by, until the
// first is gone.
func TestTwoReconcilers(t *testing.T) {
	e := Shared(t).beside(t, "ha")
	first := e.startBeside(t, "first")
	Eventually(t, readyIn, "the first is ready", func() bool { code, _ := readyz(t, first.url); return code == 200 })
	second := e.startBeside(t, "second")
	Eventually(t, readyIn, "the second is ready", func() bool { code, _ := readyz(t, second.url); return code == 200 })
	if l, s := leads(t, first.url), leads(t, second.url); !l || s {
		t.Fatalf("the first leads: %v, the second: %v", l, s)
	}
	s := e.NewServer(t)
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	before := s.executions("", "plain")
	epoch := last(t, s.facts("start")).Epoch
	load := s.Load("plain", 20)

	first.end(syscall.SIGKILL)
	killed := time.Now()
	s.Set(s.Mocker("next", 1))
	var next fact
	Eventually(t, 10*time.Second, "the second acts", func() bool {
		next = last(t, s.facts("start"))
		return next.Model == "next"
	})
	within(t, "SIGKILL of the leader to the first start of the other", time.Since(killed), 5*time.Second)
	if next.Epoch <= epoch {
		t.Errorf("epoch %d after %d, want it to grow", next.Epoch, epoch)
	}
	s.Wait("next", "Ready", readyIn)
	requireNoFailure(t, load.Stop())
	requireNoRestart(t, before, s.executions("", "plain"))
	for _, f := range s.facts("start") {
		if f.Epoch != epoch && f.Model != "next" {
			t.Errorf("the second asked for a start: %+v", f)
		}
	}
	if !leads(t, second.url) {
		t.Error("the second does not say that it leads")
	}
}

func last(t *testing.T, facts []fact) fact {
	t.Helper()
	if len(facts) == 0 {
		t.Fatal("no such event")
	}
	return facts[len(facts)-1]
}

// leads reports whether a reconciler's metrics call it the leader.
func leads(t *testing.T, url string) bool {
	t.Helper()
	code, text := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", code, text)
	}
	return strings.Contains(text, "\ndynctl_leader 1\n")
}
