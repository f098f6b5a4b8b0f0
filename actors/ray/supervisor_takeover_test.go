package ray

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A new reconciler: what it finds decides what it does.
func TestTakingOver(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, c *Config)
		same   bool
	}{
		{"the same: left alone", func(*testing.T, *Config) {}, true},
		{"another epoch: left alone", func(_ *testing.T, c *Config) {
			old := c.Agent()
			c.Agent = func() AgentConfig { old.Epoch = 9; return old }
		}, true},
		{"another package: replaced", func(t *testing.T, c *Config) { c.Package = packageOf(t, "two") }, false},
		{"another NATS address: replaced", func(_ *testing.T, c *Config) {
			old := c.Agent()
			c.Agent = func() AgentConfig { old.NATSURL = "nats://elsewhere"; return old }
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRay()
				first, end := start(t, configFor(t, f), f)
				pass(time.Second)
				end()
				old := first.State().JobID
				cfg := configFor(t, f)
				test.change(t, &cfg)
				s, end := start(t, cfg, f)
				defer end()
				pass(time.Second)
				got := s.State()
				if got.Phase != PhaseRunning || (got.JobID == old) != test.same {
					t.Errorf("state %+v, the old job was %s", got, old)
				}
				if living := f.living(); len(living) != 1 || living[0] != got.JobID {
					t.Errorf("living %v", living)
				}
			})
		})
	}
}

func TestOldVersionServesUntilTheNewOneBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		_, end := start(t, configFor(t, f), f)
		pass(time.Second)
		end()
		cfg := configFor(t, f)
		cfg.Package = packageOf(t, "two")
		var mute atomic.Bool
		mute.Store(true)
		cfg.Heartbeat = func() (Heartbeat, bool) {
			b, ok := f.heartbeat()
			if mute.Load() && b.Incarnation == 2 {
				return Heartbeat{Incarnation: 1, Age: 100 * time.Millisecond}, ok
			}
			return b, ok
		}
		s, end := start(t, cfg, f)
		defer end()
		pass(10 * time.Second)
		if got := f.living(); len(got) != 2 || s.State().Phase != PhaseStarting {
			t.Errorf("living %v, %+v: the old agent has to serve on", got, s.State())
		}
		mute.Store(false)
		pass(time.Second)
		if got := f.living(); len(got) != 1 || s.State().Phase != PhaseRunning {
			t.Errorf("living %v, %+v", got, s.State())
		}
	})
}

func TestOtherStoresAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		other := configFor(t, f)
		other.Agent = func() AgentConfig { return AgentConfig{StoreID: "fedcba9876543210"} }
		_, end := start(t, other, f)
		pass(time.Second)
		end()
		s, end := start(t, configFor(t, f), f)
		defer end()
		pass(time.Second)
		if got := f.living(); len(got) != 2 {
			t.Errorf("living %v", got)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got := f.living(); len(got) != 1 || s.State().Phase != PhaseStopped {
			t.Errorf("after Stop: living %v, %+v", got, s.State())
		}
	})
}
