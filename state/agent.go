package state

import "time"

// Silence is how long the agent has not been heard by whoever could have heard it.
func (a *Agent) Silence(now time.Time) time.Duration { return now.Sub(a.At) - a.Deaf }

// AgentFailure says why no agent stays, for as long as none does.
type AgentFailure struct {
	// Reason is what the Ray cluster lacks for one (RayClusterSuspended, ...); empty: its
	// job does not stay.
	Reason string `json:"reason,omitempty"`
	// Message says what becomes of the agent's job, with the line of its log, or of Ray,
	// that says why; empty: nothing is wrong.
	Message string `json:"message"`
	// Way is what to do about it; empty where that is not known.
	Way string `json:"way,omitempty"`
	// Job is the Ray job whose log has the rest; empty: none was accepted.
	Job string `json:"job,omitempty"`
	// Up says that an agent is there now, or for some time between two failures, long enough
	// to carry specs out.
	Up bool `json:"up,omitempty"`
}

// String is the message with the way out.
func (f AgentFailure) String() string {
	if f.Way == "" {
		return f.Message
	}
	return f.Message + "; " + f.Way
}

// RayNotice is what somebody should look at in the Ray cluster although an agent is there.
type RayNotice struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Way is what to do about it; empty where that is not known.
	Way string `json:"way,omitempty"`
}

// String is the notice in one line.
func (n RayNotice) String() string {
	if n.Way == "" {
		return n.Reason + ": " + n.Message
	}
	return n.Reason + ": " + n.Message + "; " + n.Way
}
