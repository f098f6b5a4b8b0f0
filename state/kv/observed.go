package kv

import (
	"cmp"
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
		err = json.Unmarshal(e.value, o.agent)
		o.agent.At = e.at
	case strings.HasPrefix(e.key, unitPrefix):
		o.unit = &state.Unit{}
		if err = json.Unmarshal(e.value, o.unit); err == nil && unitKey(o.unit.Key()) != e.key {
			err = fmt.Errorf("it says that it is unit %q", o.unit.Key())
		}
		if err == nil {
			toStoreClock(o.unit, e.at)
		}
		o.unit.Revision = e.rev
	case strings.HasPrefix(e.key, nodePrefix):
		o.node = &nodeValue{}
		err = json.Unmarshal(e.value, o.node)
	}
	if err != nil {
		return observation{}, fmt.Errorf("%s, revision %d: %w: %w", e.key, e.rev, ErrInvalid, err)
	}
	return o, nil
}

func unitKey(k state.UnitKey) string { return unitPrefix + k.Server + "." + k.Unit }

// parseUnitKey reads the key of a unit; a server's name holds no dot.
func parseUnitKey(key string) (state.UnitKey, bool) {
	rest, ok := strings.CutPrefix(key, unitPrefix)
	server, unit, dot := strings.Cut(rest, ".")
	return state.UnitKey{Server: server, Unit: unit}, ok && dot
}

// toStoreClock moves the times of a unit from the agent's clock to that of the KV
// store: the value was sent at SentAt and stored at that moment.
func toStoreClock(u *state.Unit, stored time.Time) {
	if u.SentAt.IsZero() {
		return
	}
	d := stored.Sub(u.SentAt)
	shift := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(d)
		}
	}
	shift(&u.ChangedAt)
	shift(&u.SentAt)
	for i := range u.Actors {
		a := &u.Actors[i]
		shift(&a.StartedAt)
		shift(&a.ReadyAt)
		if a.Exit != nil {
			shift(&a.Exit.At)
		}
	}
}

// observe makes the view of the agent in charge. Values of earlier incarnations
// are left out. It is synced only when the bucket is loaded, the agent says that
// it has reported everything, and nothing stands there that contradicts it: a
// value that cannot be read, or one of an incarnation that the agent key does not
// know of yet.
func observe(items map[string]item[observation], loaded bool) (state.Observed, error) {
	var problems []error
	var out state.Observed
	if it, ok := items[keyAgent]; ok && !it.deleted && it.err == nil {
		out.Agent = it.val.agent
	}
	incarnation := uint64(0)
	if out.Agent != nil {
		agent := *out.Agent
		out.Agent, incarnation = &agent, agent.Incarnation
	}
	newer := false
	for _, it := range items {
		switch {
		case it.deleted:
			if key, ok := parseUnitKey(it.key); ok {
				if out.Gone == nil {
					out.Gone = map[state.UnitKey]uint64{}
				}
				out.Gone[key] = it.rev
				out.LastGone = latest(out.LastGone, it.at)
			}
		case it.err != nil:
			problems = append(problems, it.err)
		case it.val.unit != nil:
			newer = newer || it.val.unit.Incarnation > incarnation
			if out.Agent != nil && it.val.unit.Incarnation == incarnation {
				out.Units = append(out.Units, *it.val.unit)
			}
		case it.val.node != nil:
			newer = newer || it.val.node.Incarnation > incarnation
			if n := it.val.node; out.Agent != nil && (n.Incarnation == 0 || n.Incarnation == incarnation) {
				out.Nodes = append(out.Nodes, n.Node)
			}
		}
	}
	slices.SortFunc(out.Units, func(a, b state.Unit) int {
		return cmp.Or(strings.Compare(a.Server, b.Server), strings.Compare(a.Unit, b.Unit))
	})
	slices.SortFunc(out.Nodes, func(a, b state.Node) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	out.Synced = loaded && out.Agent != nil && out.Agent.Synced && !newer && len(problems) == 0
	return out, errors.Join(problems...)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readObserved reads the whole observed bucket.
func (c *Client) readObserved(ctx context.Context, doing string) (state.Observed, error) {
	entries, err := scan(ctx, c.js, BucketObserved, ">", false)
	if err != nil {
		return state.Observed{}, wrap(doing, err)
	}
	items := map[string]item[observation]{}
	for _, e := range entries {
		it := item[observation]{entry: e}
		if !e.deleted {
			it.val, it.err = parseObservation(e)
		}
		items[e.key] = it
	}
	o, err := observe(items, true)
	return o, wrap(doing, err)
}

// ListUnits reads every unit that the agent in charge reports, by server and id,
// with its times on the clock of the store.
func (c *Client) ListUnits(ctx context.Context) ([]state.Unit, error) {
	o, err := c.readObserved(ctx, "list units")
	return o.Units, err
}

// GetUnit reads one unit; [ErrNotFound] when the agent in charge reports none.
func (c *Client) GetUnit(ctx context.Context, key state.UnitKey) (state.Unit, error) {
	doing := "unit " + key.String()
	o, err := c.readObserved(ctx, doing)
	if err != nil {
		return state.Unit{}, err
	}
	for _, u := range o.Units {
		if u.Key() == key {
			return u, nil
		}
	}
	return state.Unit{}, wrap(doing, ErrNotFound)
}

// ListNodes reads the Ray nodes, by id.
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
		return state.Agent{}, wrap("agent", err)
	}
	return *o.agent, nil
}
