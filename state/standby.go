package state

// SubjectStandby with a job's submission id behind it is where an agent that stands by
// takes orders.
const SubjectStandby = "dynctl.agent.standby"

// StandbyOrder asks an agent that stands by to take the place of the one in charge, whose
// incarnation it names: no other's place is taken by it.
type StandbyOrder struct {
	// Incarnation is that of the agent in charge; 0: there is none.
	Incarnation uint64 `json:"incarnation"`
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
}
