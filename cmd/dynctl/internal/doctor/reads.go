package doctor

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/cmd/dynctl/internal/together"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/roles"
)

// reads are what the checks look at, all of it asked for at once. Each waits for its answer.
type reads struct {
	under   together.Reads
	checks  func() ([]kv.Checks, error)
	storeID func() (string, error)
	lacks   func() ([]string, error)
	stream  func() (streamSeen, error)
	lease   func() (kv.Lease, error)
	agent   func() (state.Agent, error)
	values  func() ([]kv.Unreadable, error)
	nodes   func() ([]state.Node, error)
	units   func() ([]*state.Unit, error)
	servers func() ([]Object, error)
	models  func() ([]Object, error)
}

// streamSeen is the event stream, with when it was asked for and seen by the clock here.
type streamSeen struct {
	info        *jetstream.StreamInfo
	asked, came time.Time
}

func (d *Doctor) begin(ctx context.Context, c *kv.Client) *reads {
	r := &reads{}
	r.stream = together.Begin(&r.under, func() (seen streamSeen, err error) { // first: it tells the clock
		seen.asked = d.Now()
		stream, err := c.JetStream().Stream(ctx, events.Stream)
		if err != nil {
			return seen, err
		}
		seen.info, seen.came = stream.CachedInfo(), d.Now()
		return seen, nil
	})
	r.checks = together.Begin(&r.under, func() ([]kv.Checks, error) { return c.Checks(ctx) })
	r.storeID = together.Begin(&r.under, func() (string, error) { return c.StoreID(ctx) })
	r.lacks = together.Begin(&r.under, func() ([]string, error) { return c.MissingRights(ctx, roles.User{Role: roles.Admin}), nil })
	r.lease = together.Begin(&r.under, func() (kv.Lease, error) { return c.GetLeader(ctx) })
	r.agent = together.Begin(&r.under, func() (state.Agent, error) { return c.GetAgent(ctx) })
	r.values = together.Begin(&r.under, func() ([]kv.Unreadable, error) { return c.Unreadable(ctx) })
	r.nodes = together.Begin(&r.under, func() ([]state.Node, error) { return c.ListNodes(ctx) })
	r.units = together.Begin(&r.under, func() ([]*state.Unit, error) { return c.ListUnits(ctx) })
	r.servers = together.Begin(&r.under, func() ([]Object, error) { return d.Objects(ctx, c, state.KindServer) })
	r.models = together.Begin(&r.under, func() ([]Object, error) { return d.Objects(ctx, c, state.KindModel) })
	return r
}
