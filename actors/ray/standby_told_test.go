package ray

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"

	"dynctl/state"
)

// A busy machine takes its time to start one that nobody waits for.
func TestStandbyThatStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		s, end := c.with(t, func(cfg *Config) {
			order := cfg.Order
			begun := time.Now()
			cfg.Order = func(ctx context.Context, job string, o state.StandbyOrder) (state.StandbyAnswer, error) {
				if time.Since(begun) < 2*time.Minute {
					return state.StandbyAnswer{}, errNobody
				}
				return order(ctx, job, o)
			}
		})
		defer end()
		pass(3 * time.Minute)
		if got := s.State().Standby; got != state.StandbyReady || c.submitted() != 2 {
			t.Errorf("standby %s, %d jobs", got, c.submitted())
		}
	})
}

// What is said of a standby: since when, which, where; and why there is none.
func TestWhatIsSaidOfTheStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		s, end := c.with(t, nil)
		defer end()
		pass(9 * time.Second)
		if got := s.Standby(); got == nil || got.State != state.StandbyAbsent || got.Why != "" {
			t.Errorf("before: %+v", got)
		}
		pass(time.Minute)
		id := c.waiting()
		want := state.StandbyAgent{State: state.StandbyReady, Job: id, NodeIP: "10.0.0.1", PID: 7, Memory: 1 << 20, Watches: true}
		got := *s.Standby()
		if since := time.Since(got.Since); since < 40*time.Second || since > time.Minute {
			t.Errorf("ready since %s", since)
		}
		if got.Since = want.Since; got != want {
			t.Errorf("ready: %+v, want %+v", got, want)
		}
		c.set(func() { c.jobs[id].info.JobStatus, c.jobs[id].log = "FAILED", "MemoryError: no room\n" })
		pass(3 * time.Second)
		if got := s.Standby(); got.State != state.StandbyAbsent || !strings.Contains(got.Why, "no room") || time.Since(got.Since) > 3*time.Second {
			t.Errorf("after its end: %+v", got)
		}
	})
}

func TestPick(t *testing.T) {
	plain, waits, other := jobOf("plain", false), jobOf("waits", true), jobOf("other", true)
	other.Metadata[metaPackage] = "another"
	tests := []struct {
		name     string
		living   []utiltypes.RayJobInfo
		beat     string // the job that it names
		readable bool
		none     bool // none is to stand by
		want     string
	}{
		{"the one that was started so is in charge", list(waits, plain, other), "plain", true, false, "plain in charge, waits waits, and [other]"},
		{"one that stood by is in charge", list(waits, plain), "waits", true, false, "waits in charge, plain waits, and []"},
		{"nobody is in charge", list(waits), "gone", true, false, "- in charge, waits waits, and []"},
		{"an agent that names no job", list(waits, plain), "", true, false, "plain in charge, waits waits, and []"},
		{"no heartbeat can be read", list(waits, plain, other), "", false, false, "unknown"},
		{"none that does matters", list(plain, other), "", false, false, "plain in charge, - waits, and [other]"},
		{"none is to stand by", list(waits, plain), "plain", true, true, "plain in charge, - waits, and [waits]"},
		{"two wait", list(jobOf("newer", true), waits, plain), "plain", true, false, "plain in charge, newer waits, and [waits]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := New(Config{Package: Package{Hash: "package"}, Order: newStandbyRay().order,
				Heartbeat: func() (Heartbeat, bool) { return Heartbeat{Job: test.beat}, test.readable }})
			if test.none {
				s.cfg.Order = nil
			}
			found := s.pick(test.living, "settings")
			got := fmt.Sprintf("%s in charge, %s waits, and %v", nameOf(found.acting), nameOf(found.waiting), found.others)
			if found.unknown {
				got = "unknown"
			}
			if got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
		})
	}
}

func list(jobs ...utiltypes.RayJobInfo) []utiltypes.RayJobInfo { return jobs }

func jobOf(id string, waits bool) utiltypes.RayJobInfo {
	j := utiltypes.RayJobInfo{SubmissionId: id, Metadata: map[string]string{metaPackage: "package", metaSettings: "settings"}}
	if waits {
		j.Metadata[metaStandby] = "true"
	}
	return j
}

func nameOf(j *utiltypes.RayJobInfo) string {
	if j == nil {
		return "-"
	}
	return j.SubmissionId
}

// While nobody says who is in charge, none is taken for a standby: it may have taken over.
func TestNoStandbyIsTakenWhileNoHeartbeatCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStandbyRay()
		var token atomic.Value
		token.Store("a")
		s, end := c.with(t, func(cfg *Config) { cfg.Token = func() (string, error) { return token.Load().(string), nil } })
		defer end()
		pass(20 * time.Second)
		waiting := c.waiting()
		c.set(func() { c.unreadable = true })
		token.Store("b") // so that it is looked for again
		pass(10 * time.Second)
		if got := s.State().Standby; got != state.StandbyAbsent || c.submitted() != 2 {
			t.Errorf("standby %s, %d jobs while no heartbeat can be read", got, c.submitted())
		}
		c.set(func() { c.unreadable = false })
		pass(5 * time.Second)
		if got := s.Standby(); got.State != state.StandbyReady || got.Job != waiting || c.submitted() != 2 {
			t.Errorf("%+v, %d jobs; %s stood by before", got, c.submitted(), waiting)
		}
	})
}
