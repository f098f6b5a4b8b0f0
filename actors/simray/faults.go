package simray

import (
	"fmt"

	"dynctl/state"
)

// Exit ends the first process of a unit as if by itself, with a code (negative:
// the signal). Its lease is left for the reconciler to revoke. [ErrUnknown] where
// no process of the unit runs.
func (c *Cluster) Exit(key state.UnitKey, code int) error {
	return c.do(func() error {
		u := c.units[key]
		if u == nil || u.stopping {
			return fmt.Errorf("exit of %s: %w", key, ErrUnknown)
		}
		for _, a := range u.actors {
			if a.said.ChildPID == 0 {
				continue
			}
			reason := "Exited"
			if code < 0 {
				reason = "Killed"
			}
			a.exited(c, code, reason)
			c.facts.tell("unit-exited", u, reason, fmt.Sprintf("%s: attempt %d, code %d", a.said.Name, a.said.Attempt, code))
			c.report(u, nil)
			return nil
		}
		return fmt.Errorf("exit of %s: no process: %w", key, ErrUnknown)
	})
}

// KillActor ends a Ray actor, by its name, and with it its process.
func (c *Cluster) KillActor(name string) error {
	return c.do(func() error {
		for _, u := range c.units {
			for _, a := range u.actors {
				if a.said.Name == name && a.said.PID != 0 {
					a.died(c)
					c.report(u, nil)
					return nil
				}
			}
		}
		return fmt.Errorf("kill actor %s: %w", name, ErrUnknown)
	})
}

// RemoveGroup removes the placement group of a unit, and with it its actors.
func (c *Cluster) RemoveGroup(key state.UnitKey) error {
	return c.do(func() error {
		u := c.units[key]
		if u == nil || u.stopping || len(u.bundles) == 0 {
			return fmt.Errorf("remove the group of %s: %w", key, ErrUnknown)
		}
		for _, a := range u.actors {
			a.died(c)
		}
		c.release(u)
		u.group.State = state.GroupRemoved
		c.report(u, nil)
		c.placeMore()
		return nil
	})
}

// KillNode ends a node with all that runs on it. As in Ray, the groups are placed
// again where there is room, and their actors are not.
func (c *Cluster) KillNode(id string) error {
	return c.do(func() error {
		n := c.nodes[id]
		if n == nil || !n.Alive {
			return fmt.Errorf("kill node %s: %w", id, ErrUnknown)
		}
		n.Alive = false
		c.reportNode(n, nil)
		for _, u := range c.units {
			c.strand(u, n)
		}
		return nil
	})
}

// strand takes from a unit what lay on a dead node.
func (c *Cluster) strand(u *unit, n *node) {
	hit := false
	for i, b := range u.bundles {
		if b.node != n {
			continue
		}
		hit = true
		b.node, b.gpus = nil, nil
		for _, a := range u.actors {
			if a.template.Bundle == i && a.said.PID != 0 {
				a.died(c)
			}
		}
	}
	if !hit || u.stopping {
		return
	}
	u.group.State = state.GroupRescheduling
	c.report(u, nil)
	life := u.life
	c.queue.after(c.cfg.Delays.Place, func() {
		if u.life == life && u.group.State == state.GroupRescheduling {
			c.tryPlace(u)
		}
	})
}

// AddNode adds a node, or brings back a dead one, empty.
func (c *Cluster) AddNode(n state.Node) error {
	return c.do(func() error {
		c.addNode(n, nil)
		return nil
	})
}
