package actors

import "time"

// CommandDeadline is how long after its publication a command may be begun.
const CommandDeadline = 30 * time.Second

// CommandScope is what every command of the stream says of itself: the agent carries out
// none of another store or another Ray session, nor one that is too old.
// docs/protocol.md has the shapes.
type CommandScope struct {
	// Protocol is the version of the protocol in which the command is written.
	Protocol int     `json:"protocol"`
	StoreID  string  `json:"storeId"`
	Session  string  `json:"session"`
	Deadline float64 `json:"deadline"` // seconds after the event's time stamp
}

// StartCommand is the payload of a start event.
type StartCommand struct {
	CommandScope
	Template UnitTemplate `json:"template"`
	// Withheld: the template lacks its secrets; the agent asks for all of it.
	Withheld  bool               `json:"withheld,omitempty"`
	Placement Attempt            `json:"placement"`
	Attempts  map[string]Attempt `json:"attempts"`
	Ahead     bool               `json:"ahead,omitempty"`
}

// EndCommand is the payload of a stop and of a sweep.
type EndCommand struct {
	CommandScope
	GracePeriod float64 `json:"gracePeriod"` // seconds
	Generation  string  `json:"generation"`
	Retires     bool    `json:"retires,omitempty"`
	Ahead       bool    `json:"ahead,omitempty"`
}
