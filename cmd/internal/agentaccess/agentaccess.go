// Package agentaccess asks the agent in Ray for the credential of a server's etcd, its own
// or an external one (docs/protocol.md, "Access to the data plane"). It is in no bucket and in no event.
package agentaccess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/registry"
)

const (
	// Subject is where the agent answers.
	Subject = "dynctl.agent.access"
	// Timeout bounds one request: the agent gives the actor of etcd 3 s.
	Timeout = 5 * time.Second
)

// Errors of Etcd.
var (
	// ErrAgentAway: nobody answers.
	ErrAgentAway = errors.New("no agent answers that knows the credential of etcd")
	// ErrOpen: the agent knows of none.
	ErrOpen = errors.New("the agent knows no credential of this etcd")
)

type reply struct {
	User     string `json:"user"`
	Password string `json:"password"`
	CA       string `json:"ca"`
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	Error    string `json:"error"`
}

// Etcd is how a server's etcd lets its clients in. Errors: [ErrAgentAway], [ErrOpen], what
// the agent says, and what NATS says.
func Etcd(ctx context.Context, nc *nats.Conn, server string) (registry.Login, error) {
	data, err := json.Marshal(map[string]string{"server": server})
	if err != nil {
		return registry.Login{}, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	message, err := nc.RequestWithContext(ctx, Subject, data)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return registry.Login{}, ErrAgentAway
	}
	if err != nil {
		return registry.Login{}, err
	}
	return decode(message.Data)
}

// decode reads what an agent, or somebody in its place, answered. None of it is repeated
// but what the agent gives as a reason.
func decode(data []byte) (registry.Login, error) {
	var r reply
	if json.Unmarshal(data, &r) != nil {
		return registry.Login{}, errors.New("the agent's answer about the credential of etcd is not one")
	}
	switch {
	case r.Error != "":
		return registry.Login{}, fmt.Errorf("the agent: %s", state.Clip(r.Error, state.MaxMessage))
	case (r.User == "" || r.Password == "") && (r.CA == "" || r.Cert == "" || r.Key == ""):
		return registry.Login{}, ErrOpen
	}
	return registry.Login{User: r.User, Password: r.Password, CA: r.CA, Cert: r.Cert, Key: r.Key}, nil
}
