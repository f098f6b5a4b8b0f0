package app

import (
	"context"
	"testing"
	"time"

	"dynctl/state"
	"dynctl/state/kv"
)

// ear looks for heartbeats as the loop does, at times of the test's.
type ear struct {
	t *testing.T
	beat
	agent state.Agent
	now   time.Time
	hears bool
}

func newEar(t *testing.T) *ear {
	t.Helper()
	e := &ear{t: t, now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), hears: true}
	e.comes()
	return e
}

// comes is a heartbeat. The store's clock is an hour behind.
func (e *ear) comes() {
	e.agent.At, e.agent.Revision = e.now.Add(-time.Hour), e.agent.Revision+1
	e.look()
}

func (e *ear) look() time.Duration { return e.local(&e.agent, e.now, e.hears).Silence(e.now) }

// passes is some time in which this process looks every half a second.
func (e *ear) passes(d time.Duration) {
	for end := e.now.Add(d); e.now.Before(end); {
		e.now = e.now.Add(idleRound)
		e.look()
	}
}

// stops is some time in which it does not run.
func (e *ear) stops(d time.Duration) { e.now = e.now.Add(d) }

// asks has the store asked, if that is due, and says whether it was.
func (e *ear) asks(stored uint64, err error) bool {
	known, ask := e.doubtful(e.now)
	if ask {
		e.answered(known, stored, err)
	}
	return ask
}

func (e *ear) is(what string, want time.Duration) {
	e.t.Helper()
	if got := e.look(); got != want {
		e.t.Errorf("%s: silent for %s, want %s", what, got, want)
	}
}

func TestHeartbeatsAreAgedOnThisClock(t *testing.T) {
	e := newEar(t)
	e.is("a first heartbeat", 0)
	e.passes(2 * time.Second)
	e.is("none for 2 s", 2*time.Second)
	e.comes()
	e.is("a new one", 0)
	if e.local(nil, e.now, true) != nil {
		t.Error("no agent is some agent")
	}
}

func TestAnAgentIsSilentOnceTheStoreSaysSo(t *testing.T) {
	e := newEar(t)
	if e.passes(agentTimeout); e.asks(e.agent.Revision, nil) {
		t.Error("asked of one that may be heard yet")
	}
	e.passes(time.Second)
	e.is("before the store has been asked", agentTimeout)
	if !e.asks(0, kv.ErrUnreachable) || !e.asks(0, context.Canceled) {
		t.Error("not asked again")
	}
	e.is("the store does not answer", agentTimeout)
	e.asks(e.agent.Revision+1, nil)
	e.is("another heartbeat is on its way", agentTimeout)
	e.asks(e.agent.Revision, nil)
	e.is("the store has no other", agentTimeout+time.Second)
	if e.asks(e.agent.Revision, nil) {
		t.Error("asked again")
	}
	e.comes()
	e.is("it comes back", 0)
}

func TestATimeInWhichNothingCouldBeHeardIsNoSilence(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		e := newEar(t)
		e.passes(time.Second)
		e.stops(20 * time.Second)
		e.is("after the stop", 0)
		e.passes(agentTimeout)
		e.is("and it has all its time then", agentTimeout)
	})
	t.Run("without the store", func(t *testing.T) {
		e := newEar(t)
		e.passes(2 * time.Second)
		e.hears = false
		e.passes(20 * time.Second)
		e.hears = true
		e.is("the store is back", 0)
		e.passes(agentTimeout + time.Second)
		e.asks(e.agent.Revision, nil)
		e.is("and the agent is not", agentTimeout+time.Second)
	})
	t.Run("one that was silent before", func(t *testing.T) {
		e := newEar(t)
		e.passes(5 * time.Second)
		e.asks(e.agent.Revision, nil)
		e.stops(20 * time.Second)
		e.is("it is not heard by that", 5*time.Second)
	})
	t.Run("the time of the heartbeat stays what it was", func(t *testing.T) {
		e := newEar(t)
		at := e.now
		e.stops(20 * time.Second)
		if got := e.local(&e.agent, e.now, true).At; !got.Equal(at) {
			t.Errorf("heard at %s, want %s: nothing has been heard since", got, at)
		}
	})
}
