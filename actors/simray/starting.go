package simray

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// start makes it so: the group, the actors and the attempts. A new unit stands in
// the bucket before anything of it is made.
func (c *Cluster) start(cmd command, ack func()) {
	u := c.units[cmd.key]
	switch {
	case u == nil:
		u = &unit{key: cmd.key}
		c.units[cmd.key] = u
		u.adopt(cmd)
		u.group = cmd.payload.Template.PlacementGroup
		c.report(u, func() {
			ack()
			c.queue.post(func() { c.makeIt(u) })
		})
	case u.stopping:
		u.next = &cmd
		ack()
	default:
		u.adopt(cmd)
		ack()
		c.makeIt(u)
	}
}

// makeIt makes what of a unit is not there.
func (c *Cluster) makeIt(u *unit) {
	switch {
	case c.units[u.key] != u || u.stopping:
	case !u.living() && (u.group.State == "" || u.group.State == state.GroupRemoved || u.group.State == state.GroupRescheduling):
		c.makeGroup(u)
	case u.group.State == state.GroupCreated:
		c.makeActors(u)
	}
}

// makeGroup asks for a new group, in place of what is left of an old one.
func (c *Cluster) makeGroup(u *unit) {
	c.release(u)
	u.life++
	life := u.life
	u.group = u.template.PlacementGroup
	u.group.State, u.group.ID = state.GroupPending, fmt.Sprintf("pg-%s-%d", u.key.Unit, life)
	u.bundles = make([]*bundle, len(u.group.Bundles))
	for i := range u.bundles {
		u.bundles[i] = &bundle{}
	}
	for _, a := range u.actors {
		a.endProcess()
		a.said.State, a.said.PID = state.UnitPlacing, 0
	}
	c.report(u, nil)
	c.queue.after(c.cfg.Delays.Place, func() {
		if u.life == life {
			c.tryPlace(u)
		}
	})
	if limit := u.template.PlacementTimeout; limit > 0 {
		c.queue.after(time.Duration(limit*float64(time.Second)), func() {
			if u.life == life && u.group.State == state.GroupPending {
				c.giveUp(u, limit)
			}
		})
	}
}

// tryPlace places a group, or lets it wait for room.
func (c *Cluster) tryPlace(u *unit) {
	if !c.place(u) {
		if !slices.Contains(c.unplaced, u) {
			c.unplaced = append(c.unplaced, u)
		}
		return
	}
	u.group.State = state.GroupCreated
	c.facts.tell("placement-created", u, "Created", "")
	c.makeActors(u)
}

// placeMore looks again at what waits, because there is more room.
func (c *Cluster) placeMore() {
	waiting := c.unplaced
	c.unplaced = nil
	for _, u := range waiting {
		c.tryPlace(u)
	}
}

// giveUp leaves nothing of a unit whose group was not placed in time.
func (c *Cluster) giveUp(u *unit, limit float64) {
	c.release(u)
	u.failed, u.reason = true, "PlacementTimeout"
	u.message = fmt.Sprintf("the placement group was not ready in %.0f s", limit)
	u.group.State, u.actors = state.GroupRemoved, nil
	c.facts.tell("placement-failed", u, u.reason, u.message)
	c.report(u, nil)
}

// release gives back what a unit holds, and whatever is under way for its group.
func (c *Cluster) release(u *unit) {
	u.life++
	c.unplaced = slices.DeleteFunc(c.unplaced, func(x *unit) bool { return x == u })
	for i, b := range u.bundles {
		if b.node != nil {
			b.node.give(u.group.Bundles[i], b.gpus)
		}
	}
	u.bundles = nil
}

// makeActors makes the actors of a placed group, and has them execute what they
// were asked to.
func (c *Cluster) makeActors(u *unit) {
	for _, a := range u.actors {
		if a.said.PID == 0 {
			b := u.bundles[a.template.Bundle]
			a.said.PID = c.pid()
			a.said.Node, a.said.IP, a.said.GPUs = b.node.ID, b.node.IP, b.gpus
			a.said.State = state.UnitExited
		}
	}
	for _, a := range u.actors {
		c.pursue(a)
	}
	c.report(u, nil)
}

func (c *Cluster) pid() int {
	c.pids++
	return 1000 + c.pids
}

// pursue has an actor execute the attempt that it was asked for.
func (c *Cluster) pursue(a *actor) {
	if a.said.PID == 0 || a.goal.Number <= a.said.Attempt {
		return
	}
	if a.said.ChildPID == 0 {
		a.said.State = state.UnitWaiting
	}
	if !c.ready(a) {
		server := a.unit.key.Server
		if !slices.Contains(c.needy[server], a) {
			c.needy[server] = append(c.needy[server], a)
		}
		return
	}
	a.run++
	run := a.run
	c.queue.after(c.cfg.Delays.Exec, func() {
		if a.run == run && !a.unit.stopping {
			c.execute(a)
		}
	})
}

// satisfy looks at those again that wait for something of a server.
func (c *Cluster) satisfy(server string) {
	waiting := c.needy[server]
	delete(c.needy, server)
	for _, a := range waiting {
		if c.units[a.unit.key] == a.unit && !a.unit.stopping {
			c.pursue(a)
		}
	}
}

// execute starts the process, after the end of the one before.
func (c *Cluster) execute(a *actor) {
	if a.said.ChildPID != 0 {
		c.revoke(a.said.Lease)
	}
	a.endProcess()
	u := a.unit
	a.said.Attempt, a.said.Failures, a.said.Digest = a.goal.Number, a.goal.Failures, a.template.Digest
	a.said.StartedAt, a.said.ReadyAt, a.said.State = time.Now(), time.Time{}, state.UnitStarting
	a.said.Ports = c.findPorts(a)
	a.said.Uses = c.uses(a)
	a.said.ChildPID = c.pid()
	if err := c.serveFrontend(a); err != nil {
		a.said.ChildPID = 0
		a.said.Exit = &state.Exit{Attempt: a.said.Attempt, Code: 1, Reason: "ExecFailed", LogTail: err.Error(), At: time.Now()}
		a.said.State = state.UnitExited
		c.report(u, nil)
		return
	}
	c.facts.tell("unit-started", u, "Executed", fmt.Sprintf("%s: attempt %d, pid %d on %s", a.said.Name, a.said.Attempt, a.said.ChildPID, a.said.IP))
	c.report(u, nil)
	run := a.run
	c.queue.after(c.cfg.Delays.Ready, func() {
		if a.run != run {
			return
		}
		if a.template.Health.Lease {
			c.register(a)
			return
		}
		c.running(a, 0)
	})
}

// running is the first success of the health rule.
func (c *Cluster) running(a *actor, lease int64) {
	a.said.State, a.said.ReadyAt, a.said.Lease = state.UnitRunning, time.Now(), lease
	c.report(a.unit, nil)
	c.satisfy(a.unit.key.Server)
}

// findPorts finds ports on the actor's node. It keeps those that it has.
func (c *Cluster) findPorts(a *actor) map[string]int {
	if len(a.template.Ports) == 0 {
		return nil
	}
	out := map[string]int{}
	n := a.unit.bundles[a.template.Bundle].node
	for _, p := range a.template.Ports {
		if was, ok := a.said.Ports[p.Name]; ok && a.said.Node == n.ID {
			out[p.Name] = was
		} else {
			out[p.Name] = n.port(p.Seed, p.Count)
		}
	}
	if _, ok := out[actors.PortEtcd]; ok {
		a.said.IP, out[actors.PortEtcd] = c.etcdAddress()
	}
	return out
}

// endpoint reads dyn://NAMESPACE.COMPONENT.generate from a command line.
func endpoint(argv []actors.Text) (namespace, component string, ok bool) {
	for _, t := range argv {
		rest, found := strings.CutPrefix(t.S, "dyn://")
		if !found {
			continue
		}
		// A component is a slug: it holds no dot. A namespace may not either.
		parts := strings.Split(rest, ".")
		if len(parts) == 3 {
			return parts[0], parts[1], true
		}
	}
	return "", "", false
}

// flag is the word that follows a flag in a command line.
func flag(argv []actors.Text, names ...string) string {
	for i, t := range argv {
		if slices.Contains(names, t.S) && i+1 < len(argv) {
			return argv[i+1].S
		}
	}
	return ""
}
