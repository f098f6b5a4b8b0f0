package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// charge is what was said of who is in charge and of what was executed, in the order in
// which it was stored: at every moment one agent is in charge, and nothing is executed twice.
type charge struct {
	mu      sync.Mutex
	newest  uint64
	holders map[uint64]string // the agent, by its incarnation
	pids    map[attempt]int   // the process of each attempt
	wrong   []string          // what must not be
}

// attempt is one execution that was asked of one actor.
type attempt struct {
	group, actor string
	pid, number  int // the actor's process
}

func newCharge() *charge {
	return &charge{holders: map[uint64]string{}, pids: map[attempt]int{}}
}

// beat takes note of a heartbeat.
func (c *charge) beat(a state.Agent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := fmt.Sprintf("process %d at %s, job %s", a.PID, a.NodeIP, a.Job)
	switch before, known := c.holders[a.Incarnation]; {
	case a.Incarnation < c.newest:
		c.wrong = append(c.wrong, fmt.Sprintf("incarnation %d (%s) wrote over %d (%s)", a.Incarnation, who, c.newest, c.holders[c.newest]))
	case known && before != who:
		c.wrong = append(c.wrong, fmt.Sprintf("incarnation %d is two agents: %s, and %s", a.Incarnation, before, who))
	}
	c.newest, c.holders[a.Incarnation] = max(c.newest, a.Incarnation), who
}

// unit takes note of the executions of a unit.
func (c *charge) unit(u state.Unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range u.Actors {
		if a.ChildPID == 0 {
			continue
		}
		key := attempt{u.PlacementGroup.ID, a.Name, a.PID, a.Attempt}
		if before := c.pids[key]; before != 0 && before != a.ChildPID {
			c.wrong = append(c.wrong, fmt.Sprintf("attempt %d of %s was executed twice, as process %d and %d", a.Attempt, a.Name, before, a.ChildPID))
		}
		c.pids[key] = a.ChildPID
	}
}

// verdict is what must not be, and how much was looked at.
func (c *charge) verdict() (wrong []string, agents, executions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong, len(c.holders), len(c.pids)
}

// watchCharge hears what the agents write until ctx ends.
func (w *world) watchCharge(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.hearCharge(ctx); err != nil && ctx.Err() == nil {
			w.note("who is in charge is not heard: %v", err)
			time.Sleep(pollPeriod)
		}
	}
}

func (w *world) hearCharge(ctx context.Context) error {
	bucket, err := w.js.KeyValue(ctx, "dynctl_observed")
	if err != nil {
		return err
	}
	watch, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = watch.Stop() }() // it ends with ctx otherwise
	for e := range watch.Updates() {
		switch {
		case e == nil: // all that was there has been told
		case e.Key() == "agent":
			var a state.Agent
			if err := json.Unmarshal(e.Value(), &a); err != nil {
				return err
			}
			w.charge.beat(a)
		case strings.HasPrefix(e.Key(), "unit."):
			var u state.Unit
			if err := json.Unmarshal(e.Value(), &u); err != nil {
				return err
			}
			w.charge.unit(u)
		}
	}
	return nil
}

// requireOneInCharge judges what was heard until now.
func (w *world) requireOneInCharge() []string {
	wrong, agents, executions := w.charge.verdict()
	w.say("%d agents were in charge, one after the other, and %d executions were told; %d of it must not be", agents, executions, len(wrong))
	return wrong
}
