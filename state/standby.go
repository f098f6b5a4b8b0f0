package state

import "time"

// SubjectStandby with a job's submission id behind it is where an agent that stands by
// takes orders.
const SubjectStandby = "dynctl.agent.standby"

// StandbyOrder asks an agent that stands by to take the place of the one in charge, whose
// incarnation it names: no other's place is taken by it.
type StandbyOrder struct {
	// Incarnation is that of the agent in charge; 0: there is none.
	Incarnation uint64 `json:"incarnation"`
	// Revision is that of the last heartbeat of an agent that is given up because it is
	// silent: once it has sent another one, the order is void. 0: it holds all the same.
	Revision uint64 `json:"revision,omitempty"`
	// Epoch is the reconciler's.
	Epoch uint64 `json:"epoch"`
	// Now: whatever becomes of the agent in charge. Otherwise only when its process ends.
	Now bool `json:"now"`
	// Within is for how many seconds the order stands, where it is not Now.
	Within float64 `json:"within"`
}

// StandbyAnswer is what comes of an order once it was carried out, or has run out.
type StandbyAnswer struct {
	// Incarnation is that of the agent that stood by, and is in charge now; 0: it is not.
	Incarnation uint64 `json:"incarnation"`
	// Watches: it sees the process of the agent in charge.
	Watches bool `json:"watches"`
	// Refused says why the order was not carried out; empty: it was, or it has run out.
	Refused string `json:"refused"`
	// NodeIP and PID are where it runs; empty and 0: it does not tell.
	NodeIP string `json:"nodeIp"`
	PID    int    `json:"pid"`
	// Memory is what of its process is in memory, in bytes, what it shares with others
	// included; 0: it does not tell.
	Memory int64 `json:"memory"`
}

// Where an agent stands that is to wait beside the one in charge.
const (
	// StandbyAbsent: there is none, and one follows.
	StandbyAbsent = "Absent"
	// StandbyStarting: its job is there, and it does not answer yet, or no more.
	StandbyStarting = "Starting"
	// StandbyReady: it takes over as soon as the agent in charge is gone.
	StandbyReady = "Ready"
)

// StandbyAgent is the agent that is to wait beside the one in charge, as the reconciler
// that leads finds it.
type StandbyAgent struct {
	// State is StandbyAbsent, StandbyStarting or StandbyReady, and Since when that began, on
	// the reconciler's clock.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Job is the submission id of its Ray job; empty: there is none.
	Job string `json:"job,omitempty"`
	// NodeIP, PID and Memory (in bytes) are as it tells them; empty and 0: it has not yet.
	NodeIP string `json:"nodeIp,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Memory int64  `json:"memory,omitempty"`
	// Watches: it sees the process of the agent in charge end; otherwise it is told.
	Watches bool `json:"watches,omitempty"`
	// Why is why the one before was given up; empty: none was, or this one answers.
	Why string `json:"why,omitempty"`
}
