package simray

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

const bucketObserved = "dynctl_observed"

// Cluster is a simulated Ray cluster with its agent. Its methods may be called
// from any goroutine.
type Cluster struct {
	cfg       Config
	log       *slog.Logger
	queue     *queue
	writer    *writer
	charge    *charge
	facts     *facts
	directory *directory

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	// What follows is touched by functions in the queue alone.
	nodes    map[string]*node
	order    []string // of nodes
	units    map[state.UnitKey]*unit
	unplaced []*unit             // their groups fit nowhere yet, oldest first
	needy    map[string][]*actor // by server: they wait for what they need
	refused  map[string]int
	pids     int
}

// Start makes a cluster and takes charge: it returns once the reconciler would see
// it synced. What an earlier agent reported is gone, as after a start of Ray. The
// cluster ends with ctx, with Close, or when another agent takes charge.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	kv, err := cfg.JetStream.KeyValue(ctx, bucketObserved)
	if err != nil {
		return nil, fmt.Errorf("simray: bucket %s: %w: start a reconciler first", bucketObserved, err)
	}
	c := &Cluster{
		cfg: cfg, log: cfg.Log, queue: newQueue(), charge: newCharge(kv, cfg.StoreID), directory: newDirectory(),
		nodes: map[string]*node{}, units: map[state.UnitKey]*unit{}, needy: map[string][]*actor{}, refused: map[string]int{},
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.writer = newWriter(kv, c.log, c.charge.confirm)
	if err := c.begin(ctx, kv); err != nil {
		c.Close()
		return nil, fmt.Errorf("simray: %w", err)
	}
	return c, nil
}

// begin follows the start of an agent in docs/protocol.md.
func (c *Cluster) begin(ctx context.Context, kv jetstream.KeyValue) error {
	if err := c.charge.take(ctx); err != nil {
		return err
	}
	c.facts = &facts{js: c.cfg.JetStream, log: c.log, incarnation: c.charge.agent.Incarnation}
	consumer, err := c.cfg.JetStream.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:   fmt.Sprintf("agent-%d", c.charge.agent.Incarnation),
		AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		AckWait: 10 * time.Second, InactiveThreshold: time.Minute, MaxAckPending: -1,
		FilterSubjects: []string{subjectPrefix + "*.start.>", subjectPrefix + "*.stop.>", subjectPrefix + "*.sweep.>"},
	})
	if err != nil {
		return fmt.Errorf("consumer of %s: %w", stream, err)
	}
	if err := c.forgetOthers(ctx, kv); err != nil {
		return err
	}
	c.wg.Go(func() { c.queue.run(c.ctx) })
	c.wg.Go(func() { c.writer.run(c.ctx) })
	c.wg.Go(func() { c.directory.follow(c.ctx, c.cfg.Etcd, c.log) })
	if err := c.reportNodes(ctx); err != nil {
		return err
	}
	if err := c.charge.synced(ctx); err != nil {
		return err
	}
	c.wg.Go(func() {
		if err := c.charge.run(c.ctx); err != nil {
			c.log.Info("simray: the agent ends", "reason", err)
			c.cancel(err)
		}
	})
	c.wg.Go(c.lookAtNodes)
	return c.consume(consumer)
}

// forgetOthers deletes what an earlier agent reported.
func (c *Cluster) forgetOthers(ctx context.Context, kv jetstream.KeyValue) error {
	lister, err := kv.ListKeys(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lister.Stop() }() // it has ended already
	for key := range lister.Keys() {
		if !strings.HasPrefix(key, "unit.") && !strings.HasPrefix(key, "node.") {
			continue
		}
		if err := kv.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// reportNodes waits until every node stands in the bucket.
func (c *Cluster) reportNodes(ctx context.Context) error {
	var written sync.WaitGroup
	written.Add(len(c.cfg.Nodes))
	c.queue.post(func() {
		for _, n := range c.cfg.Nodes {
			c.addNode(n, written.Done)
		}
	})
	all := make(chan struct{})
	go func() { written.Wait(); close(all) }()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

func (c *Cluster) consume(consumer jetstream.Consumer) error {
	consuming, err := consumer.Consume(func(m jetstream.Msg) { c.queue.post(func() { c.handle(m) }) })
	if err != nil {
		return err
	}
	c.wg.Go(func() {
		<-c.ctx.Done()
		consuming.Stop()
		<-consuming.Closed()
	})
	return nil
}

// handle carries out one command, or refuses it.
func (c *Cluster) handle(m jetstream.Msg) {
	ack := func() {
		if err := m.Ack(); err != nil {
			c.log.Warn("simray: not acknowledged; it comes again", "err", err)
		}
	}
	meta, err := m.Metadata()
	if err != nil {
		c.log.Error("simray: a message without a sequence", "err", err)
		return
	}
	cmd, err := parseCommand(m.Data())
	reason := refusedShape
	if err == nil {
		g := gate{c.cfg.StoreID, c.charge.agent.Session, c.charge.epoch()}
		reason = g.refusal(cmd, meta.Timestamp, time.Now())
	}
	if c.cfg.Heard != nil {
		c.cfg.Heard(Heard{Sequence: meta.Sequence.Stream, Verb: cmd.verb, Unit: cmd.key, Epoch: cmd.epoch, Refused: reason})
	}
	if reason != "" {
		c.refused[reason]++
		c.log.Warn("simray: refused", "reason", reason, "verb", cmd.verb, "unit", cmd.key, "epoch", cmd.epoch, "err", err)
		ack()
		return
	}
	c.charge.saw(cmd.epoch)
	if cmd.verb == verbStart {
		c.start(cmd, ack)
	} else {
		c.stop(cmd, ack)
	}
}

// Done is closed when the cluster has ended; [Cluster.Err] says why.
func (c *Cluster) Done() <-chan struct{} { return c.ctx.Done() }

// Err is why the cluster has ended: [ErrSuperseded], [ErrEnded] after Close, or
// the context's; nil while it lives.
func (c *Cluster) Err() error { return context.Cause(c.ctx) }

// Close ends the cluster and with it all processes. Leases are left to expire, as
// when a machine is switched off; what was reported stays in the store.
func (c *Cluster) Close() {
	c.cancel(ErrEnded)
	c.wg.Wait()
	for _, u := range c.units { // nothing else touches them any more
		for _, a := range u.actors {
			a.endProcess()
		}
	}
}

// Incarnation of the agent.
func (c *Cluster) Incarnation() uint64 { return c.charge.agent.Incarnation }

// Session is the Ray session.
func (c *Cluster) Session() string { return c.charge.agent.Session }

// Units are all units as they are reported, by server and id.
func (c *Cluster) Units() ([]state.Unit, error) {
	var out []state.Unit
	err := c.do(func() error {
		for _, u := range c.units {
			out = append(out, c.value(u))
		}
		return nil
	})
	slices.SortFunc(out, func(a, b state.Unit) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	return out, err
}

// Refused counts the commands that were refused, by reason.
func (c *Cluster) Refused() (map[string]int, error) {
	out := map[string]int{}
	err := c.do(func() error {
		for reason, n := range c.refused {
			out[reason] = n
		}
		return nil
	})
	return out, err
}

// do runs f in the queue and waits for it.
func (c *Cluster) do(f func() error) error {
	done := make(chan error, 1)
	c.queue.post(func() { done <- f() })
	select {
	case err := <-done:
		return err
	case <-c.ctx.Done():
		return errors.Join(ErrEnded, context.Cause(c.ctx))
	}
}
