package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

const (
	keyAgent   = "agent"
	unitPrefix = "unit."
	nodePrefix = "node."
)

// observation is a parsed value of the observed bucket: one of its fields is set,
// none where the key is not of this version.
type observation struct {
	agent *state.Agent
	unit  *state.Unit
	node  *nodeValue
}

type nodeValue struct {
	state.Node
	// Incarnation of the agent that wrote it; 0 where it did not say.
	Incarnation uint64 `json:"incarnation"`
}

// UnmarshalJSON reads both parts; that of the node alone would count otherwise.
func (n *nodeValue) UnmarshalJSON(data []byte) error {
	var by struct {
		Incarnation uint64 `json:"incarnation"`
	}
	if err := json.Unmarshal(data, &by); err != nil {
		return err
	}
	n.Incarnation = by.Incarnation
	return json.Unmarshal(data, &n.Node)
}

func parseObservation(e entry) (observation, error) {
	var o observation
	var err error
	switch {
	case e.key == keyAgent:
		o.agent = &state.Agent{}
		if err = decodeObject(e.value, maxObserved, o.agent); err == nil {
			err = state.CheckAgent(*o.agent)
		}
		o.agent.At, o.agent.Revision = e.at, e.rev
	case strings.HasPrefix(e.key, unitPrefix):
		o.unit = &state.Unit{}
		if err = decodeObject(e.value, maxObserved, o.unit); err == nil && unitKey(o.unit.Key()) != e.key {
			err = fmt.Errorf("it says that it is unit %.80q", o.unit.Key())
		}
		if err == nil {
			err = state.CheckUnit(o.unit, e.at)
			fromAgentClock(o.unit, e.at)
			u := o.unit
			u.Server, u.Model, u.StoreID = shared(u.Server), shared(u.Model), shared(u.StoreID)
		}
		o.unit.Revision = e.rev
	case strings.HasPrefix(e.key, nodePrefix):
		o.node = &nodeValue{}
		if err = decodeObject(e.value, maxObserved, o.node); err == nil && nodePrefix+o.node.ID != e.key {
			err = fmt.Errorf("it says that it is node %.80q", o.node.ID)
		}
		if err == nil {
			err = state.CheckNode(o.node.Node)
		}
	default:
		err = errForeignKey
	}
	if err != nil {
		return observation{}, err
	}
	return o, nil
}

// judgeObservation refuses what no agent in charge can have written: an incarnation
// or epoch that jumps, and a unit or node of an incarnation above the one in charge,
// for an agent takes the key before it writes anything else.
func judgeObservation(others map[string]item[observation], it item[observation]) error {
	charge := others[keyAgent]
	var last state.Agent
	if charge.usable() && charge.val.agent != nil {
		last = *charge.val.agent
	}
	switch {
	case it.val.agent != nil:
		if err := state.CheckCounter("incarnation", it.val.agent.Incarnation, last.Incarnation); err != nil {
			return err
		}
		return state.CheckCounter("epoch", it.val.agent.Epoch, last.Epoch)
	case it.val.unit != nil:
		return newerThan(it.val.unit.Incarnation, last.Incarnation)
	case it.val.node != nil:
		return newerThan(it.val.node.Incarnation, last.Incarnation)
	}
	return nil
}

func newerThan(incarnation, inCharge uint64) error {
	if inCharge > 0 && incarnation > inCharge {
		return fmt.Errorf("it is of incarnation %d, and %d is in charge", incarnation, inCharge)
	}
	return nil
}

func unitKey(k state.UnitKey) string { return unitPrefix + k.Server + "." + k.Unit }

// parseUnitKey reads the key of a unit; a server's name holds no dot.
func parseUnitKey(key string) (state.UnitKey, bool) {
	rest, ok := strings.CutPrefix(key, unitPrefix)
	server, unit, dot := strings.Cut(rest, ".")
	return state.UnitKey{Server: server, Unit: unit}, ok && dot
}

// fromAgentClock moves the times of a unit from the agent's clock to that on which the value
// was stored: it was sent at SentAt and stored at that moment. What the actors tell is by the
// clocks of their nodes, and cannot have happened later.
func fromAgentClock(u *state.Unit, stored time.Time) {
	if u.SentAt.IsZero() {
		return
	}
	d := stored.Sub(u.SentAt)
	shift := func(t *time.Time) {
		if t.IsZero() {
			return
		}
		if *t = t.Add(d); t.After(stored) {
			*t = stored
		}
	}
	shift(&u.ChangedAt)
	shift(&u.SentAt)
	for i := range u.Actors {
		a := &u.Actors[i]
		shift(&a.StartedAt)
		shift(&a.ReadyAt)
		if a.LastExit != nil {
			shift(&a.LastExit.At)
		}
		if a.Exit != nil {
			shift(&a.Exit.At)
		}
	}
}

// observe makes the view of the agent in charge. Values of earlier incarnations
// are left out. It is synced only when the bucket is loaded and the agent says that
// it has reported everything. A value that cannot be read costs its own unit or
// node: the last one that could be stands in for it, or it is named.
func observe(items map[string]item[observation], loaded bool) state.Observed {
	var out state.Observed
	if it := items[keyAgent]; it.usable() && it.val.agent != nil {
		agent := *it.val.agent
		out.Agent = &agent
	}
	for _, it := range items {
		unit, isUnit := parseUnitKey(it.key)
		switch {
		case it.deleted && isUnit:
			if out.Gone == nil {
				out.Gone = map[state.UnitKey]uint64{}
			}
			out.Gone[unit] = it.rev
			out.LastGone = latest(out.LastGone, it.at)
		case !it.deleted && !it.usable() && isUnit:
			out.Unreadable = append(out.Unreadable, unit)
		case it.usable() && out.Agent != nil:
			report(&out, it.val, out.Agent.Incarnation)
		}
	}
	slices.SortFunc(out.Units, (*state.Unit).Compare)
	slices.SortFunc(out.Unreadable, state.UnitKey.Compare)
	slices.SortFunc(out.Nodes, compareNodes)
	out.Synced = loaded && out.Agent != nil && out.Agent.Synced
	return out
}

// report adds a value that could be read, unless an agent of another incarnation left it.
func report(out *state.Observed, o observation, incarnation uint64) {
	if u := o.unit; u != nil && u.Incarnation == incarnation {
		out.Units = append(out.Units, u)
	}
	if n := o.node; n != nil && (n.Incarnation == 0 || n.Incarnation == incarnation) {
		out.Nodes = append(out.Nodes, n.Node)
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// observations makes of entries what a mirror makes of them.
func observations(entries []entry) (items map[string]item[observation], bad []Unreadable) {
	items = map[string]item[observation]{}
	for _, e := range entries {
		it := item[observation]{entry: e}
		if !e.deleted {
			it.val, it.err = parseObservation(e)
		}
		items[e.key] = it
	}
	for key, it := range items {
		if it.usable() {
			it.err = judgeObservation(items, it)
			items[key] = it
		}
		if it.err != nil {
			bad = append(bad, unreadable(BucketObserved, it.entry, it.err))
		}
	}
	return items, bad
}

// readObserved reads the whole observed bucket. What could be read comes with an
// [UnreadableError] where something else could not.
func (c *Client) readObserved(ctx context.Context, doing string) (state.Observed, error) {
	entries, err := scan(ctx, c.js, BucketObserved, ">", false)
	if err != nil {
		return state.Observed{}, wrap(doing, err)
	}
	items, bad := observations(entries)
	return observe(items, true), c.leftOut(bad)
}

// ListUnits reads every unit that the agent in charge reports, by server and id,
// with its times on the clock of the store. An [UnreadableError] names what was
// left out of them.
func (c *Client) ListUnits(ctx context.Context) ([]*state.Unit, error) {
	o, err := c.readObserved(ctx, "list units")
	return o.Units, err
}

// GetUnit reads one unit; [ErrNotFound] when the agent in charge reports none.
func (c *Client) GetUnit(ctx context.Context, key state.UnitKey) (state.Unit, error) {
	doing := "unit " + key.String()
	o, err := c.readObserved(ctx, doing)
	if err != nil && !errors.As(err, new(*UnreadableError)) {
		return state.Unit{}, err
	}
	for _, u := range o.Units {
		if u.Key() == key {
			return *u, nil
		}
	}
	if err != nil && slices.Contains(o.Unreadable, key) {
		return state.Unit{}, wrap(doing, err)
	}
	return state.Unit{}, wrap(doing, ErrNotFound)
}

// ListNodes reads the Ray nodes, by id. An [UnreadableError] names what was left
// out of them.
func (c *Client) ListNodes(ctx context.Context) ([]state.Node, error) {
	o, err := c.readObserved(ctx, "list nodes")
	return o.Nodes, err
}

// GetAgent reads the agent in charge and its last heartbeat; [ErrNotFound] when
// none has ever connected.
func (c *Client) GetAgent(ctx context.Context) (state.Agent, error) {
	e, err := last(ctx, c.js, BucketObserved, keyAgent)
	if err == nil && e.deleted {
		err = ErrNotFound
	}
	if err != nil {
		return state.Agent{}, wrap("agent", err)
	}
	o, err := parseObservation(e)
	if err != nil {
		return state.Agent{}, wrap("agent", c.instead(BucketObserved, e, err))
	}
	return *o.agent, nil
}
