package simray

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// The stream and its subjects; docs/protocol.md is the contract.
const (
	stream        = "DYNCTL_EVENTS"
	subjectPrefix = "dynctl.events."
	verbStart     = "start"
	verbStop      = "stop"
	verbSweep     = "sweep"
)

// Reasons to refuse a command.
const (
	RefusedStore    = "RefusedStore"
	RefusedSession  = "RefusedSession"
	RefusedEpoch    = "RefusedEpoch"
	RefusedDeadline = "RefusedDeadline"
	RefusedProtocol = "RefusedProtocol"
	refusedShape    = "NotACommand"
)

// command is one command of the reconciler.
type command struct {
	verb    string
	key     state.UnitKey
	epoch   uint64
	causeID string
	payload payload
}

// payload is what a simulated cluster reads of the protocol's `command` object, of all
// verbs.
type payload struct {
	actors.CommandScope
	Template  *actors.UnitTemplate      `json:"template"`
	Placement actors.Attempt            `json:"placement"`
	Attempts  map[string]actors.Attempt `json:"attempts"`
}

// eventData is the data of an event, command or fact.
type eventData struct {
	Server       string          `json:"server"`
	Model        string          `json:"model"`
	Unit         string          `json:"unit"`
	Generation   string          `json:"generation"`
	SpecRevision uint64          `json:"specRevision"`
	Epoch        uint64          `json:"epoch"`
	CauseID      string          `json:"causeId"`
	Reason       string          `json:"reason"`
	Message      string          `json:"message"`
	Command      json.RawMessage `json:"command,omitempty"`
}

// parseCommand reads a command from its CloudEvent.
func parseCommand(body []byte) (command, error) {
	var event struct {
		Type string    `json:"type"`
		Data eventData `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return command{}, err
	}
	d := event.Data
	c := command{verb: event.Type, key: state.UnitKey{Server: d.Server, Unit: d.Unit}, epoch: d.Epoch, causeID: d.CauseID}
	if err := json.Unmarshal(d.Command, &c.payload); err != nil {
		return command{}, err
	}
	switch {
	case c.verb != verbStart && c.verb != verbStop && c.verb != verbSweep:
		return command{}, fmt.Errorf("unknown verb %q", c.verb)
	case c.verb == verbStart && c.payload.Template == nil:
		return command{}, fmt.Errorf("the start of %s has no template", c.key)
	}
	return c, nil
}

// gate is what a command must match.
type gate struct {
	storeID, session string
	epoch            uint64
}

// refusal is a constant reason to refuse a command that was stored at a moment, or
// empty.
func (g gate) refusal(c command, stored, now time.Time) string {
	deadline := time.Duration(c.payload.Deadline * float64(time.Second))
	switch {
	case cmp.Or(c.payload.Protocol, 1) != state.ProtocolNewest:
		return RefusedProtocol
	case c.payload.StoreID != g.storeID:
		return RefusedStore
	case c.payload.Session != g.session:
		return RefusedSession
	case c.epoch < g.epoch:
		return RefusedEpoch
	case deadline > 0 && now.After(stored.Add(deadline)):
		return RefusedDeadline
	}
	return ""
}
