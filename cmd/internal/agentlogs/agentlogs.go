// Package agentlogs asks the agent in Ray for the log of an actor (docs/protocol.md,
// "Logs"), for dynctl and for the ops page.
//
// Vocabulary: an actor's label is its name without server and generation, which is
// what its log file is called; its short name is what a person calls it among the
// actors of its model: DP0, decode_1, Frontend.
package agentlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

const (
	// Subject is where the agent answers.
	Subject = "dynctl.agent.logs"
	// Timeout bounds one request: the agent gives an actor 3 s.
	Timeout = 5 * time.Second
)

// Reasons of a refusal, as the agent says them.
const (
	NotFound    = "NotFound"
	ActorGone   = "ActorGone"
	ActorSilent = "ActorSilent"
	OldActor    = "OldActor"
	Stale       = "Stale"
	BadRequest  = "BadRequest"
)

// ErrAgentAway means that nobody answered.
var ErrAgentAway = errors.New("no agent answers")

// Position is up to where a log was read; only the actor knows what it means.
type Position struct {
	Attempt   int    `json:"attempt"`
	Rotations int    `json:"rotations"`
	Offset    int64  `json:"offset"`
	File      uint64 `json:"file"`
}

// Request asks for the last lines of a log (-1: all), or with a position for what
// follows it.
type Request struct {
	Server   string `json:"server"`
	Unit     string `json:"unit"`
	Actor    string `json:"actor"`
	Previous bool   `json:"previous"`
	Lines    int    `json:"lines"`
	*Position
}

// Reply is a piece of a log and the position behind it.
type Reply struct {
	Position
	Text string `json:"text"`
	// More: the next piece is there already.
	More  bool     `json:"more"`
	Path  string   `json:"path"`
	Error *Refusal `json:"error"`
}

// Refusal is the agent's word on why there is no log to read.
type Refusal struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Refusal) Error() string { return e.Message }

// Ask makes one request. It fails with [ErrAgentAway] when nobody answers, with a
// *[Refusal] when the agent cannot read the log, and else with what NATS says.
func Ask(ctx context.Context, nc *nats.Conn, r Request) (Reply, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return Reply{}, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	message, err := nc.RequestWithContext(ctx, Subject, data)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return Reply{}, ErrAgentAway
	}
	if err != nil {
		return Reply{}, err
	}
	return decodeReply(message.Data)
}

// decodeReply reads what an agent, or somebody in its place, answered.
func decodeReply(data []byte) (Reply, error) {
	var reply Reply
	if err := json.Unmarshal(data, &reply); err != nil {
		return Reply{}, fmt.Errorf("the agent's answer is not one: %s", state.Clip(err.Error(), 256))
	}
	if reply.Error != nil {
		reply.Error.Message = state.Clip(reply.Error.Message, state.MaxMessage)
		return Reply{}, reply.Error
	}
	return reply, nil
}

// escapes are what a process writes for a terminal: colours, titles, links.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[\x20-\x2f]*[\x40-\x7e]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[\x20-\x2f]*[0-Z\x5c\x5e-\x7e])`)

// Plain is a line without what was meant for a terminal.
func Plain(line string) string { return escapes.ReplaceAllString(line, "") }

// Label is the actor's name without server and generation.
func Label(u state.Unit, a state.Actor) string {
	return strings.TrimPrefix(a.Name, "dynamo_"+u.Server+"_"+u.Generation+"_")
}

// ShortName is what a person calls an actor among those of its model or server.
func ShortName(u state.Unit, a state.Actor) string {
	name := "DP" + strconv.Itoa(u.Replica)
	switch {
	case u.Model == "":
		return strings.TrimPrefix(Label(u, a), "Dynamo_")
	case u.Role != state.RoleAggregated:
		name = u.Role + "_" + strconv.Itoa(u.Replica)
	}
	if len(u.Actors) > 1 {
		name += "/" + strconv.Itoa(a.Bundle)
	}
	return name
}

// Path is where the log lies on the actor's node. A session that is not known is
// left as a pattern.
func Path(session string, u state.Unit, a state.Actor) string {
	if session == "" {
		session = "session_*"
	}
	if !strings.HasPrefix(session, "/") {
		session = "/tmp/ray/" + session
	}
	return fmt.Sprintf("%s/nemo_curator_dynamo_%s_%s/%s.log", session, u.Server, u.Unit, Label(u, a))
}
