package simray

// stop ends a unit, for a stop and for a sweep. What is gone already is no error.
func (c *Cluster) stop(cmd command, ack func()) {
	u := c.units[cmd.key]
	if u == nil {
		ack()
		return
	}
	u.next = nil
	if u.stopping {
		ack()
		return
	}
	u.stopping, u.causeID = true, cmd.causeID
	c.report(u, ack)
	fact := "unit-stopped"
	if cmd.verb == verbSweep {
		fact = "orphan-swept"
	}
	c.queue.after(c.cfg.Delays.Stop, func() { c.remove(u, fact) })
}

// remove leaves nothing of a unit, and begins what was asked for meanwhile.
func (c *Cluster) remove(u *unit, fact string) {
	for _, a := range u.actors {
		lease := a.said.Lease
		a.endProcess()
		c.revoke(lease)
		c.freePorts(a)
	}
	c.release(u)
	delete(c.units, u.key)
	c.writer.put(unitKey(u.key), nil, nil)
	c.facts.tell(fact, u, "Stopped", "nothing of it is left")
	if u.next != nil {
		c.start(*u.next, func() {})
	}
	c.placeMore()
}

func (c *Cluster) freePorts(a *actor) {
	n := c.nodes[a.said.Node]
	if n == nil {
		return
	}
	for _, p := range a.template.Ports {
		if first, ok := a.said.Ports[p.Name]; ok {
			for _, port := range span(first, p.Count) {
				delete(n.ports, port)
			}
		}
	}
}
