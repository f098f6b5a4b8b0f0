package ray

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/state"
)

// inContest runs a test in a cluster in which an agent is in charge and another one stands by.
func inContest(t *testing.T, seed uint64, test func(t *testing.T, c *contest, s *Supervisor)) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, seed)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		defer func() { cancel(); <-done }()
		s := c.supervised()
		defer func() { c.end() }()
		pass(30 * time.Second)
		c.set(func() { c.longest = 0 })
		test(t, c, s)
	})
}

// settled fails unless one agent is in charge, known to be, and one stands by.
func (c *contest) settled(s *Supervisor) {
	c.t.Helper()
	got, waiting := s.State(), c.waiting()
	if got.Phase != PhaseRunning || got.JobID != c.holder() || !c.isWell() {
		c.t.Errorf("in charge is %q, %+v", c.holder(), got)
	}
	if len(waiting) != 1 || got.Standby != state.StandbyReady || s.Standby().Job != waiting[0] {
		c.t.Errorf("not in charge are %v; %+v", waiting, s.Standby())
	}
}

// Each agent in charge is stopped in turn, the second one while the next standby is on its
// way: that one is to be in charge, and no other is started.
func TestTheNextStandbyIsOnItsWayWhenTheAgentIsStopped(t *testing.T) {
	inContest(t, 1, func(t *testing.T, c *contest, s *Supervisor) {
		c.startsIn(12 * time.Second)
		first, second := c.holder(), c.waiting()[0]
		c.pause(first, true)
		pass(6 * time.Second)
		if c.holder() != second {
			t.Fatalf("in charge is %s, %s stood by", c.holder(), second)
		}
		pass(11 * time.Second) // the next one has been submitted
		third := c.waiting()[len(c.waiting())-1]
		c.pause(second, true)
		pass(14 * time.Second)
		if c.holder() != third || c.submitted() != 3 {
			t.Errorf("in charge is %s after %d jobs, want %s after 3", c.holder(), c.submitted(), third)
		}
		pass(2 * time.Minute)
		c.settled(s)
	})
}

// The standby answers no order in time, so that another job is submitted; when it comes to
// itself it takes over, and the one that was submitted stands by.
func TestTheStandbyComesToItselfWhenAnotherJobIsOnItsWay(t *testing.T) {
	inContest(t, 1, func(t *testing.T, c *contest, s *Supervisor) {
		c.startsIn(8 * time.Second)
		was, standby := c.holder(), c.waiting()[0]
		c.pause(standby, true)
		c.kill(was)
		pass(4 * time.Second)
		if c.submitted() != 3 {
			t.Fatalf("%d jobs, want 3", c.submitted())
		}
		c.pause(standby, false)
		pass(2 * time.Second)
		if got := s.State(); c.holder() != standby || got.JobID != standby {
			t.Errorf("in charge is %s, want %s; %+v", c.holder(), standby, got)
		}
		pass(time.Minute)
		if c.holder() != standby || c.submitted() != 3 || c.longestGap() > 7*time.Second {
			t.Errorf("in charge is %s after %d jobs, want %s after 3; nobody was for %s", c.holder(), c.submitted(), standby, c.longestGap())
		}
		c.settled(s)
	})
}

// Who was silent and is heard again before a successor is there goes on.
func TestWhoIsHeardAgainGoesOn(t *testing.T) {
	inContest(t, 1, func(t *testing.T, c *contest, s *Supervisor) {
		c.startsIn(8 * time.Second)
		was, standby := c.holder(), c.waiting()[0]
		c.pause(was, true)
		c.pause(standby, true)
		pass(12 * time.Second) // an order to take over lies before the standby
		c.pause(was, false)
		pass(1500 * time.Millisecond)
		c.pause(standby, false)
		pass(time.Second)
		if c.holder() != was || !c.isWell() {
			t.Errorf("in charge is %s, want %s", c.holder(), was)
		}
		pass(2 * time.Minute)
		c.settled(s)
	})
}

// Both agents end within a moment, in either order: one more is started, and then another one
// to stand by.
func TestBothAgentsEnd(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, apart := range []time.Duration{0, 5 * time.Millisecond, 100 * time.Millisecond, time.Second} {
			inContest(t, 1, func(t *testing.T, c *contest, s *Supervisor) {
				ids := []string{c.holder(), c.waiting()[0]}
				if !first {
					ids[0], ids[1] = ids[1], ids[0]
				}
				c.kill(ids[0])
				pass(apart)
				c.kill(ids[1])
				pass(time.Minute)
				if c.submitted() != 4 || c.longestGap() > 7*time.Second {
					t.Errorf("%d jobs, want 4; nobody was in charge for %s", c.submitted(), c.longestGap())
				}
				c.settled(s)
			})
		}
	}
}

// Whatever becomes of the agents, of orders and of the reconciler, in whichever order: nobody
// who is well loses its place, no agent in charge is stopped, and all is well soon.
func TestContests(t *testing.T) {
	for seed := range uint64(40) {
		inContest(t, seed, func(t *testing.T, c *contest, s *Supervisor) {
			for range 40 {
				s = c.strike(s)
				pass(time.Duration(c.dice.IntN(8000)) * time.Millisecond)
			}
			c.calm()
			pass(10 * time.Minute)
			c.settled(s)
			if c.longestGap() > 2*time.Minute { // a job that was stopped on its way is waited for a minute
				t.Errorf("nobody was in charge for %s", c.longestGap())
			}
			if t.Failed() {
				t.Fatalf("seed %d, %d agents", seed, c.takeovers())
			}
		})
	}
}

// strike breaks one thing, or mends one.
func (c *contest) strike(s *Supervisor) *Supervisor {
	ids := append(c.waiting(), c.holder(), c.holder())
	id := ids[c.dice.IntN(len(ids))]
	switch c.dice.IntN(9) {
	case 0, 1:
		c.kill(id)
	case 2, 3:
		c.pause(id, true)
	case 4, 5:
		c.set(func() {
			for _, w := range c.agents {
				w.paused = w.paused && c.dice.IntN(2) == 0
			}
		})
	case 6:
		c.set(func() { c.lossy = !c.lossy })
	case 7:
		c.set(func() { c.down = !c.down })
	case 8:
		c.end()
		pass(time.Duration(c.dice.IntN(3000)) * time.Millisecond)
		s = c.supervised()
	}
	c.startsIn(time.Duration(1+c.dice.IntN(12)) * time.Second)
	return s
}

// calm mends what is broken.
func (c *contest) calm() {
	c.set(func() {
		c.lossy, c.down, c.starts = false, false, 4*time.Second
		for _, w := range c.agents {
			w.paused = false
		}
	})
}
