package ray

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/state"
)

var errNobody = errors.New("no responders")

// standbyRay is a fakeRay whose agents may stand by, and the store in which the one in charge
// is named.
type standbyRay struct {
	*fakeRay
	beat   Heartbeat // the last one
	at     time.Time // of that
	blind  bool      // standbys do not see the process of the agent in charge
	refuse string    // what standbys say to every order; "": they carry it out
	orders int

	unreadable bool // no heartbeat can be read
}

func newStandbyRay() *standbyRay { return &standbyRay{fakeRay: newFakeRay()} }

// heartbeat is the last one that the store holds, whatever became of its agent.
func (c *standbyRay) heartbeat() (Heartbeat, bool) {
	if now, _ := c.fakeRay.heartbeat(); now.Incarnation != 0 {
		c.set(func() { c.beat, c.at = now, time.Now() })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	beat := c.beat
	if beat.Age = time.Since(c.at); c.at.IsZero() {
		beat.Age = time.Hour
	}
	return beat, !c.unreadable
}

// order is what an agent does that stands by.
func (c *standbyRay) order(ctx context.Context, job string, o state.StandbyOrder) (state.StandbyAnswer, error) {
	c.set(func() { c.orders++ })
	for over := time.Now().Add(time.Duration(o.Within * float64(time.Second))); ; time.Sleep(time.Millisecond) {
		if answer, said, err := c.try(job, o); said || err != nil {
			return answer, err
		}
		if ctx.Err() != nil {
			return state.StandbyAnswer{}, ctx.Err()
		}
		if time.Now().After(over) && !c.muted(job) {
			return state.StandbyAnswer{Watches: !c.blind, NodeIP: "10.0.0.1", PID: 7, Memory: 1 << 20}, nil
		}
	}
}

func (c *standbyRay) muted(job string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jobs[job].muted
}

func (c *standbyRay) try(job string, o state.StandbyOrder) (a state.StandbyAnswer, said bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[job]
	var acting *fakeJob
	for _, other := range c.jobs {
		if other.inc != 0 && other.inc == o.Incarnation {
			acting = other
		}
	}
	switch {
	case j == nil || j.info.JobStatus != "RUNNING":
		return a, false, errNobody
	case j.muted:
		return a, false, nil
	case j.inc != 0:
		return state.StandbyAnswer{Incarnation: j.inc}, true, nil
	case c.refuse != "":
		return state.StandbyAnswer{Refused: c.refuse}, true, nil
	case !o.Now && (c.blind || acting == nil || !acting.dead):
		return a, false, nil
	case o.Incarnation != c.incarnation:
		return state.StandbyAnswer{Refused: "another one is in charge"}, true, nil
	}
	c.incarnation++
	j.inc = c.incarnation
	return state.StandbyAnswer{Incarnation: j.inc}, true, nil
}

// with runs a supervisor that keeps a standby in a cluster.
func (c *standbyRay) with(t *testing.T, change func(*Config)) (*Supervisor, func()) {
	cfg := configFor(t, c.fakeRay)
	cfg.Heartbeat, cfg.Order = c.heartbeat, c.order
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg, c)
}

// waiting is the job that stands by, and acting the one in charge; "": none.
func (c *standbyRay) waiting() string { return c.find(func(j *fakeJob) bool { return j.inc == 0 }) }

func (c *standbyRay) acting() string {
	return c.find(func(j *fakeJob) bool { return j.inc == c.incarnation && !j.dead })
}

func (c *standbyRay) find(is func(*fakeJob) bool) (found string) {
	c.set(func() {
		for id, j := range c.jobs {
			if j.info.JobStatus == "RUNNING" && is(j) {
				found = id
			}
		}
	})
	return found
}

func TestStandbyComesOnceTheAgentIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		s, end := c.with(t, nil)
		defer end()
		pass(9 * time.Second)
		if got := s.State().Standby; c.submitted() != 1 || got != state.StandbyAbsent {
			t.Fatalf("%d jobs after 9 s, standby %s", c.submitted(), got)
		}
		pass(5 * time.Second)
		if got := s.State(); c.submitted() != 2 || got.Standby != state.StandbyReady || got.Phase != PhaseRunning {
			t.Fatalf("%d jobs after 14 s, %+v", c.submitted(), got)
		}
		pass(10 * time.Minute)
		if got := c.living(); len(got) != 2 {
			t.Errorf("living %v", got)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.living(); len(got) != 0 {
			t.Errorf("living after Stop: %v", got)
		}
	})
}

// However the agent in charge goes, the standby follows, and another one stands by then.
func TestStandbyTakesOver(t *testing.T) {
	tests := []struct {
		name   string
		blind  bool
		strike func(j *fakeJob)
		within time.Duration
	}{
		{"its process ends, and Ray knows nothing yet", false, func(j *fakeJob) { j.dead = true }, 20 * time.Millisecond},
		{"its job ends, and the standby sees no process", true, func(j *fakeJob) { j.dead, j.info.JobStatus = true, "FAILED" }, 300 * time.Millisecond},
		{"it hangs", false, func(j *fakeJob) { j.muted = true }, 5500 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newStandbyRay()
				c.blind = test.blind
				s, end := c.with(t, nil)
				defer end()
				pass(20 * time.Second)
				was, next := c.acting(), c.waiting()
				c.set(func() { test.strike(c.jobs[was]) })
				pass(test.within)
				if got := s.State(); c.acting() != next || got.JobID != next || c.submitted() != 2 {
					t.Fatalf("in charge is %q, want %s: %+v", c.acting(), next, got)
				}
				pass(20 * time.Second)
				if got := s.State(); got.Phase != PhaseRunning || got.Standby != state.StandbyReady || c.submitted() != 3 {
					t.Errorf("%d jobs, %+v", c.submitted(), got)
				}
				for _, id := range c.living() {
					if id == was {
						t.Error("the job of the one before still runs")
					}
				}
			})
		})
	}
}

// Why an agent has ended is told although its standby was faster than Ray.
func TestWhatTheStandbyReplacedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		s, end := c.with(t, nil)
		defer end()
		for range flaps {
			pass(15 * time.Second)
			was := c.acting()
			c.set(func() { c.jobs[was].dead = true })
			pass(100 * time.Millisecond)
			c.set(func() { c.jobs[was].info.JobStatus, c.jobs[was].log = "FAILED", "KeyError: 'x'\n" })
		}
		pass(2 * time.Second)
		if got := s.State().Failing; !got.Up || got.Message == "" {
			t.Errorf("failing %+v", got)
		}
	})
}

// A standby that is none is replaced, ever more seldom, and the agent in charge is left alone.
func TestStandbyThatIsOfNoUse(t *testing.T) {
	tests := []struct {
		name   string
		strike func(j *fakeJob)
	}{
		{"it ends", func(j *fakeJob) { j.info.JobStatus = "FAILED" }},
		{"it hangs", func(j *fakeJob) { j.muted = true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newStandbyRay()
				s, end := c.with(t, nil)
				defer end()
				pass(20 * time.Second)
				acting := c.acting()
				for range 4 {
					pass(3 * time.Second) // it answers
					was := c.waiting()
					c.set(func() { test.strike(c.jobs[was]) })
					for range 900 {
						if pass(100 * time.Millisecond); c.waiting() != "" && c.waiting() != was {
							break
						}
					}
					if got := c.waiting(); got == "" || got == was {
						t.Fatalf("stands by: %q, before %q", got, was)
					}
				}
				before := c.submitted()
				last := c.waiting()
				c.set(func() { test.strike(c.jobs[last]) })
				pass(30 * time.Second)
				if c.submitted() != before {
					t.Error("the fifth in a row is followed within 30 s")
				}
				if s.State().Phase != PhaseRunning || c.acting() != acting {
					t.Errorf("%+v, in charge %s, was %s", s.State(), c.acting(), acting)
				}
			})
		})
	}
}

func TestStandbyThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		s, end := c.with(t, nil)
		defer end()
		pass(20 * time.Second)
		was := c.acting()
		c.set(func() { c.refuse, c.jobs[was].info.JobStatus, c.jobs[was].dead = "no", "FAILED", true })
		pass(time.Second)
		if got := s.State(); c.submitted() != 3 || got.Phase != PhaseRunning || got.JobID == was {
			t.Errorf("%d jobs, %+v", c.submitted(), got)
		}
	})
}

// A new reconciler tells the agents that it finds apart, and keeps those that fit.
func TestTakingOverWithAStandby(t *testing.T) {
	tests := []struct {
		name   string
		before func(c *standbyRay) // while no reconciler is there
		change func(*Config)
		jobs   int // submitted in all, 5 s later
		living int
		first  bool // the standby of before is in charge
	}{
		{"both are there", nil, nil, 2, 2, false},
		{"the one in charge has ended", func(c *standbyRay) {
			j := c.jobs[c.acting()]
			c.set(func() { j.dead, j.info.JobStatus = true, "FAILED" })
		}, nil, 2, 1, true},
		{"the standby is in charge", func(c *standbyRay) {
			old, next := c.jobs[c.acting()], c.jobs[c.waiting()]
			c.set(func() { old.dead, old.info.JobStatus, c.incarnation, next.inc = true, "FAILED", 2, 2 })
		}, nil, 2, 1, true},
		{"none is to stand by", nil, func(cfg *Config) { cfg.Order = nil }, 2, 1, false},
		{"other settings", nil, func(cfg *Config) {
			agent := cfg.Agent()
			agent.NATSURL = "nats://elsewhere"
			cfg.Agent = func() AgentConfig { return agent }
		}, 3, 1, false},
		{"another version of the agent", nil, func(cfg *Config) { cfg.Package.Hash = "another" }, 3, 1, false},
		{"another version, and the one in charge has ended", func(c *standbyRay) {
			j := c.jobs[c.acting()]
			c.set(func() { j.dead, j.info.JobStatus = true, "FAILED" })
		}, func(cfg *Config) { cfg.Package.Hash = "another" }, 3, 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newStandbyRay()
				_, end := c.with(t, nil)
				pass(20 * time.Second)
				end()
				waiting := c.waiting()
				if test.before != nil {
					test.before(c)
				}
				s, end := c.with(t, test.change)
				defer end()
				pass(5 * time.Second)
				if got := c.living(); c.submitted() != test.jobs || len(got) != test.living || s.State().Phase != PhaseRunning {
					t.Errorf("%d jobs, living %v, %+v", c.submitted(), got, s.State())
				}
				if (c.acting() == waiting) != test.first {
					t.Errorf("in charge: %s, stood by: %s", c.acting(), waiting)
				}
			})
		})
	}
}

// The settings change while both are there: the one in charge is left alone, as ever, and
// another one stands by.
func TestStandbyWithOtherSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		var changed atomic.Bool
		_, end := c.with(t, func(cfg *Config) {
			before := cfg.Agent
			cfg.Agent = func() AgentConfig {
				agent := before()
				if changed.Load() {
					agent.NATSURL = "nats://elsewhere"
				}
				return agent
			}
		})
		defer end()
		pass(20 * time.Second)
		acting, waiting := c.acting(), c.waiting()
		changed.Store(true)
		pass(10 * time.Second)
		if c.acting() != acting || c.waiting() == waiting || c.waiting() == "" {
			t.Errorf("in charge %s (was %s), stands by %s (was %s)", c.acting(), acting, c.waiting(), waiting)
		}
	})
}

// Ray's head is another one: the standby of the one before gets no order.
func TestNoOrderToTheStandbyOfAnotherHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		_, end := c.with(t, nil)
		defer end()
		pass(20 * time.Second)
		c.set(func() { clear(c.jobs) })
		pass(2 * time.Second)
		c.set(func() { c.orders = 0 })
		pass(5 * time.Second)
		if c.orders != 0 || c.acting() == "" {
			t.Errorf("%d orders; in charge: %q", c.orders, c.acting())
		}
	})
}
