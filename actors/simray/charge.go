package simray

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

const (
	keyAgent = "agent"
	// beatEvery is how often the key is rewritten.
	beatEvery = time.Second
)

// charge is the key "agent": who acts, and the heartbeat.
type charge struct {
	kv   jetstream.KeyValue
	kick chan struct{}

	mu       sync.Mutex
	agent    state.Agent
	revision uint64
}

func newCharge(kv jetstream.KeyValue, storeID string) *charge {
	return &charge{kv: kv, kick: make(chan struct{}, 1), agent: state.Agent{
		Protocol: new(state.SpokenProtocol()), StoreID: storeID, Session: fmt.Sprintf("session_sim_%d", time.Now().UnixNano()),
		Version: "simray", NodeIP: "127.0.0.1", PID: os.Getpid(),
	}}
}

// take takes the key with an incarnation above the last one.
func (c *charge) take(ctx context.Context) error {
	for {
		last, revision, err := c.read(ctx)
		if err != nil {
			return err
		}
		c.agent.Incarnation, c.agent.Epoch = last.Incarnation+1, last.Epoch
		c.revision, err = c.write(ctx, c.agent, revision)
		if err == nil || !isConflict(err) {
			return err
		}
	}
}

// read is the key as it stands; revision 0: it does not.
func (c *charge) read(ctx context.Context) (state.Agent, uint64, error) {
	var a state.Agent
	e, err := c.kv.Get(ctx, keyAgent)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return a, 0, nil
	}
	if err != nil {
		return a, 0, err
	}
	err = json.Unmarshal(e.Value(), &a)
	return a, e.Revision(), err
}

func (c *charge) write(ctx context.Context, a state.Agent, revision uint64) (uint64, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	if revision == 0 {
		return c.kv.Create(ctx, keyAgent, body)
	}
	return c.kv.Update(ctx, keyAgent, body, revision)
}

func (c *charge) epoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agent.Epoch
}

// saw remembers the highest epoch, and says so at once.
func (c *charge) saw(epoch uint64) {
	c.mu.Lock()
	higher := epoch > c.agent.Epoch
	c.agent.Epoch = max(c.agent.Epoch, epoch)
	c.mu.Unlock()
	if higher {
		c.wake()
	}
}

func (c *charge) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// synced publishes that everything has been reported.
func (c *charge) synced(ctx context.Context) error {
	c.mu.Lock()
	c.agent.Synced = true
	c.mu.Unlock()
	return c.beat(ctx)
}

// run rewrites the key until ctx ends, or another agent has it: [ErrSuperseded].
func (c *charge) run(ctx context.Context) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.kick:
		}
		if err := c.beat(ctx); errors.Is(err, ErrSuperseded) {
			return err
		}
	}
}

// beat writes the key once. Where NATS is away the next beat tries again.
func (c *charge) beat(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	revision, err := c.write(ctx, c.agent, c.revision)
	if err == nil {
		c.revision = revision
		return nil
	}
	if !isConflict(err) {
		return err
	}
	return c.check(ctx)
}

// check finds out who has the key; the caller holds mu.
func (c *charge) check(ctx context.Context) error {
	holder, revision, err := c.read(ctx)
	if err != nil {
		return err
	}
	if holder.Incarnation > c.agent.Incarnation || holder.Incarnation == c.agent.Incarnation && holder.Session != c.agent.Session {
		return fmt.Errorf("%w: incarnation %d", ErrSuperseded, holder.Incarnation)
	}
	c.revision = revision
	return nil
}

// confirm is check for who does not hold mu.
func (c *charge) confirm(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.check(ctx)
}
