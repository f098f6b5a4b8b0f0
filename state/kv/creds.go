package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"dynctl/state/roles"
)

// WayIn says how somebody comes by a credential for a store that does not let him in.
const WayIn = "be the user who runs the reconciler on this machine, or have that user make one with `dynctl creds add ROLE --out FILE` (docs/operations.md#who-is-let-in)"

// ReasonStoreOpen is the reason of a check that finds that the store lets in whoever
// reaches it.
const ReasonStoreOpen = "StoreOpen"

// CheckDoors is the name of the check that looks who is let in to the store.
const CheckDoors = "doors"

// CredsReply is what a reconciler answers on [roles.SubjectCreds].
type CredsReply struct {
	// Users are those who may log in now, without their passwords.
	Users []roles.User `json:"users"`
	// Error is why the request was refused, for people; empty: it was not.
	Error string `json:"error,omitempty"`
	// NotFound: there is no user of the name.
	NotFound bool `json:"notFound,omitempty"`
}

// ErrNoCreds means that nobody answers who could change the users of this store.
var ErrNoCreds = errors.New("the users of this store are not kept by a reconciler: " +
	"it is a NATS of your own, whose users are set there (`dynctl creds template` prints them), or no reconciler runs, or this user is no admin")

// Creds are the users of the store, by name, without their passwords. It fails with
// [ErrNoCreds] where no reconciler keeps them.
func (c *Client) Creds(ctx context.Context) ([]roles.User, error) {
	return c.askCreds(ctx, map[string]any{})
}

// AddCreds lets one more in. The error is one of [Client.Creds], or [ErrConflict] with what
// the reconciler has against it.
func (c *Client) AddCreds(ctx context.Context, u roles.User) error {
	_, err := c.askCreds(ctx, map[string]any{"add": u})
	return err
}

// RemoveCreds lets one in no more, and has it disconnected. [ErrNotFound] where there is
// none of the name; else as AddCreds.
func (c *Client) RemoveCreds(ctx context.Context, name string) error {
	_, err := c.askCreds(ctx, map[string]any{"remove": name})
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("credential %q: %w (see `dynctl creds ls`)", name, ErrNotFound)
	}
	return err
}

func (c *Client) askCreds(ctx context.Context, ask any) ([]roles.User, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	nc := c.js.Conn()
	before := nc.LastError()
	ctx, cancel := context.WithTimeout(ctx, credsPatience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, roles.SubjectCreds, body)
	switch last := nc.LastError(); {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNoCreds
	case err != nil && last != nil && !errors.Is(last, before) && errors.Is(last, nats.ErrPermissionViolation):
		return nil, fmt.Errorf("credentials: %w: only an %s may see and change them", last, roles.Admin)
	case err != nil:
		return nil, wrap("credentials", err)
	}
	var reply CredsReply
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	switch {
	case reply.NotFound:
		return nil, fmt.Errorf("credentials: %w", ErrNotFound)
	case reply.Error != "":
		return nil, fmt.Errorf("%w: %s", ErrRefused, reply.Error)
	}
	return reply.Users, nil
}

// ErrRefused means that a reconciler has something against what it was asked for.
var ErrRefused = errors.New("refused")

// Open reports whether a NATS lets somebody without a credential read the store.
func Open(ctx context.Context, natsURL string, opts ...nats.Option) bool {
	c, err := Connect(ctx, natsURL, append([]nats.Option{nats.NoReconnect(), nats.Name("dynctl: is the door open?")}, opts...)...)
	if err != nil {
		return false
	}
	defer c.Close()
	return c.Ping(ctx) == nil
}
