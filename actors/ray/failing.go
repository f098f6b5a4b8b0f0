package ray

import (
	"slices"
	"time"

	"dynctl/state"
)

const (
	// flapWindow is how long the end of a job counts, and flaps how many of them there
	// have to be, for an agent that dies again and again after some time.
	flapWindow = 10 * time.Minute
	flaps      = 3
	// unstable is how many jobs in a row have to end, or submissions be refused, before
	// they were stable: one may be an accident.
	unstable = 2
)

// ends are the jobs of late.
type ends struct {
	list []end
	// refusals counts the submissions that Ray refused since the last that it took.
	refusals int
	refusal  error
}

// end is how one of them ended.
type end struct {
	at   time.Time
	why  error
	life time.Duration // from its first heartbeat; 0: it had none
}

func (e *ends) add(why error, life time.Duration) {
	e.list = append(e.recent(), end{time.Now(), why, life})
}

func (e *ends) refused(err error) {
	e.refusals, e.refusal = e.refusals+1, err
}

// recent are the ends that still count.
func (e *ends) recent() []end {
	return slices.DeleteFunc(e.list, func(x end) bool { return time.Since(x.at) > flapWindow })
}

// trusted is how long an agent has to live after these ends to be taken for well: twice
// as long as any of them did.
func (e *ends) trusted(least time.Duration) time.Duration {
	for _, x := range e.list {
		least = max(least, 2*x.life)
	}
	return least
}

// silence is the age of a heartbeat from which on its agent is not heard.
const silence = 3 * time.Second

// silenced reports whether it is known that no agent is heard.
func (s *Supervisor) silenced() bool {
	beat, known := s.cfg.Heartbeat()
	return known && beat.Age >= silence
}

// notice is what is the matter with the Ray cluster while an agent goes on.
func (s *Supervisor) notice() state.RayNotice {
	switch {
	case s.trouble == (state.AgentFailure{}):
		return s.way.Notice
	case s.silenced(): // told as a failure
		return state.RayNotice{}
	}
	return state.RayNotice{Reason: s.trouble.Reason, Message: s.trouble.Message, Way: s.trouble.Way}
}

// failing judges whether an agent stays. The first rule that matches wins:
//
//  1. Something is the matter with the Ray cluster, and no agent is heard.
//  2. Ray has refused the last submissions.
//  3. The job that is there does not come up.
//  4. The agent that is there has lived long enough: all is well.
//  5. The last jobs ended before they were stable, or some did within the window.
func (s *Supervisor) failing() state.AgentFailure {
	s.ends.list = s.ends.recent()
	n, j := len(s.ends.list), s.current
	switch {
	case s.trouble != (state.AgentFailure{}) && s.silenced(): // rule 1
		return s.trouble
	case s.ends.refusals >= unstable: // rule 2
		return failureOf(s.ends.refusal, "")
	case j != nil && j.overdue != nil && j.healthy.IsZero(): // rule 3
		return failureOf(j.overdue, j.id)
	case j != nil && !j.healthy.IsZero() && time.Since(j.healthy) >= s.ends.trusted(s.cfg.ResetAfter): // rule 4
		s.ends.list = nil
		return state.AgentFailure{}
	case n == 0, s.failures < unstable && n < flaps:
		return state.AgentFailure{}
	}
	f := failureOf(s.ends.list[n-1].why, "") // rule 5
	// Heard, it does its work: its job may be taken for one that runs while Ray does not answer.
	f.Up = !s.silenced() && (s.failures < unstable || j != nil && !j.healthy.IsZero())
	return f
}
