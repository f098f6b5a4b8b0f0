package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/deploy/local"
	"dynctl/state"
	credential "dynctl/state/kv/local"
)

// ours is the reconciler with its agent, which stand by as they do in production: a start
// is a spec written into the store.
type ours struct {
	setup    local.Config
	nc       *nats.Conn
	js       jetstream.JetStream
	specs    jetstream.KeyValue
	observed jetstream.KeyValue
	served   int    // servers so far
	plane    string // of the requests of the next one; empty: as it is by default
	models   []model
}

func newOurs(ctx context.Context, setup local.Config, stack *local.Stack) (*ours, error) {
	nc, err := nats.Connect(stack.NATSURL(), credential.Options(stack.NATSURL())...)
	if err != nil {
		return nil, err
	}
	o := &ours{setup: setup, nc: nc}
	if o.js, err = jetstream.New(nc); err != nil {
		return nil, err
	}
	if o.specs, err = o.js.KeyValue(ctx, "dynctl_specs"); err != nil {
		return nil, err
	}
	o.observed, err = o.js.KeyValue(ctx, "dynctl_observed")
	return o, err
}

func (*ours) name() string { return "ours" }

// server is that of now: each has a name of its own.
func (o *ours) server() string { return fmt.Sprintf("ours-%d", o.served) }

func (o *ours) start(ctx context.Context, port int, models []model) error {
	if len(o.models) == 0 {
		o.served++
		if _, err := o.specs.Put(ctx, "server."+o.server(), []byte(serverDocument(o.server(), port, o.plane))); err != nil {
			return err
		}
	}
	for _, m := range models {
		o.models = append(o.models, m)
		if err := o.put(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (o *ours) put(ctx context.Context, m model, lines ...string) error {
	return o.putWith(ctx, m, "{gpus: 1}", lines...)
}

func (o *ours) putWith(ctx context.Context, m model, resources string, lines ...string) error {
	_, err := o.specs.Put(ctx, "model."+o.server()+"."+m.Name, []byte(m.document(o.server(), resources, lines...)))
	return err
}

func (o *ours) stop(ctx context.Context) error {
	words := []string{"delete"}
	for _, m := range o.models {
		words = append(words, "model/"+m.Name)
	}
	o.models = nil
	if err := o.dynctl(ctx, append(words, "server/"+o.server())...); err != nil {
		return err
	}
	return poll(ctx, time.Minute, "no unit of "+o.server(), func() (bool, error) {
		left, err := o.units(ctx)
		return len(left) == 0, err
	})
}

// dynctl runs the command line for the server.
func (o *ours) dynctl(ctx context.Context, words ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(o.setup.Bin, "dynctl"), append(words, "--server", o.server())...)
	cmd.Env = append(os.Environ(), "DYNCTL_NATS_URL="+o.nc.ConnectedUrl())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("dynctl %s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}

// agent is the agent in charge.
func (o *ours) agent(ctx context.Context) (a state.Agent, err error) {
	e, err := o.observed.Get(ctx, "agent")
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(e.Value(), &a)
	return a, err
}

// units are what the agent reports of the server, in the order of their names.
func (o *ours) units(ctx context.Context) (out []state.Unit, err error) {
	keys, err := o.observed.ListKeysFiltered(ctx, "unit."+o.server()+".>")
	if err != nil {
		return nil, err
	}
	for key := range keys.Keys() {
		e, err := o.observed.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // it has gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		var u state.Unit
		if err := json.Unmarshal(e.Value(), &u); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(x, y state.Unit) int { return cmp.Compare(x.Unit, y.Unit) })
	return out, nil
}

// event waits for the first event of a kind that was stored after a moment, and says when.
func (o *ours) event(ctx context.Context, kind string, after time.Time) (time.Time, error) {
	c, err := o.js.OrderedConsumer(ctx, "DYNCTL_EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"dynctl.events." + o.server() + "." + kind + ".>"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &after,
	})
	if err != nil {
		return time.Time{}, err
	}
	m, err := c.Next(jetstream.FetchMaxWait(2 * time.Minute))
	if err != nil {
		return time.Time{}, fmt.Errorf("no event %s: %w", kind, err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return time.Time{}, err
	}
	return meta.Timestamp, nil
}

// happened are the events of the server since a moment, in order.
func (o *ours) happened(ctx context.Context, after time.Time) (out []happening, err error) {
	c, err := o.js.OrderedConsumer(ctx, "DYNCTL_EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"dynctl.events." + o.server() + ".>"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &after,
	})
	if err != nil {
		return nil, err
	}
	batch, err := c.FetchNoWait(500)
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		words := strings.SplitN(m.Subject(), ".", 5)
		out = append(out, happening{What: words[3] + " " + words[4], Ms: milliseconds(meta.Timestamp.Sub(after))})
	}
	return out, batch.Error()
}

var errLate = errors.New("not in time")

// poll asks every 5 ms until it is so.
func poll(ctx context.Context, patience time.Duration, what string, done func() (bool, error)) error {
	for late := time.Now().Add(patience); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(late) {
			return fmt.Errorf("%s: %w", what, errLate)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}
