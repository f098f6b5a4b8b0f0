package simray

import (
	"slices"
	"strconv"
	"time"

	"dynctl/state"
)

// lookEvery is how often what is free on the nodes is told.
const lookEvery = time.Second

// node is a node with what is taken of it.
type node struct {
	state.Node
	taken   int    // CPUs
	gpus    []bool // taken, by index
	ports   map[int]bool
	changed bool // since it was last reported
}

func (n *node) freeGPUs() int {
	free := 0
	for _, taken := range n.gpus {
		if !taken {
			free++
		}
	}
	return free
}

func (n *node) fits(b state.BundleShape, selector map[string]string) bool {
	if !n.Alive || n.CPUs-n.taken < b.CPU || n.freeGPUs() < b.GPU {
		return false
	}
	for k, v := range selector {
		if n.Labels[k] != v {
			return false
		}
	}
	return true
}

// take reserves a bundle and returns the ids of its GPUs.
func (n *node) take(b state.BundleShape) []string {
	n.taken += b.CPU
	n.changed = true
	ids := []string{}
	for i := range n.gpus {
		if len(ids) < b.GPU && !n.gpus[i] {
			n.gpus[i] = true
			ids = append(ids, strconv.Itoa(i))
		}
	}
	return ids
}

func (n *node) give(b state.BundleShape, gpus []string) {
	n.taken -= b.CPU
	n.changed = true
	for _, id := range gpus {
		if i, err := strconv.Atoi(id); err == nil && i < len(n.gpus) {
			n.gpus[i] = false
		}
	}
}

// port finds count free ports in a row from a seed, and takes them.
func (n *node) port(seed, count int) int {
	count = max(count, 1)
	for first := seed; ; first++ {
		if !slices.ContainsFunc(span(first, count), func(p int) bool { return n.ports[p] }) {
			for _, p := range span(first, count) {
				n.ports[p] = true
			}
			return first
		}
	}
}

func span(first, count int) []int {
	out := make([]int, max(count, 1))
	for i := range out {
		out[i] = first + i
	}
	return out
}

func (n *node) value(incarnation uint64) nodeValue {
	v := nodeValue{Node: n.Node, Incarnation: incarnation}
	if n.Alive {
		gpus, cpus := float64(n.freeGPUs()), float64(n.CPUs-n.taken)
		v.FreeGPUs, v.FreeCPUs = &gpus, &cpus
	}
	return v
}

// addNode adds a node, or makes a dead one new.
func (c *Cluster) addNode(n state.Node, written func()) {
	n.Alive = true
	if c.nodes[n.ID] == nil {
		c.order = append(c.order, n.ID)
		slices.Sort(c.order)
	}
	c.nodes[n.ID] = &node{Node: n, gpus: make([]bool, n.GPUs), ports: map[int]bool{}}
	c.reportNode(c.nodes[n.ID], written)
	c.placeMore()
}

func (c *Cluster) reportNode(n *node, written func()) {
	n.changed = false
	c.writer.put("node."+n.ID, n.value(c.charge.agent.Incarnation), written)
}

// lookAtNodes tells what is free, as the agent does: late by a second at most.
func (c *Cluster) lookAtNodes() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		c.queue.post(func() {
			for _, id := range c.order {
				if n := c.nodes[id]; n.changed {
					c.reportNode(n, nil)
				}
			}
		})
	}
}

// place finds a node for every bundle of a unit that has none; all or nothing.
func (c *Cluster) place(u *unit) bool {
	chosen := make([]*node, len(u.bundles))
	var taken []func()
	for i, b := range u.bundles {
		if b.node != nil {
			chosen[i] = b.node
		}
	}
	for i, b := range u.bundles {
		if b.node != nil {
			continue
		}
		n := c.pick(u, i, chosen)
		if n == nil {
			for _, undo := range taken {
				undo()
			}
			return false
		}
		chosen[i] = n
		shape := u.group.Bundles[i]
		gpus := n.take(shape)
		taken = append(taken, func() { n.give(shape, gpus) })
		b.gpus = gpus
	}
	for i, b := range u.bundles {
		b.node = chosen[i]
	}
	return true
}

// pick is the first node that holds a bundle beside those that are chosen.
func (c *Cluster) pick(u *unit, bundle int, chosen []*node) *node {
	var selector map[string]string
	if bundle < len(u.group.Selector) {
		selector = u.group.Selector[bundle]
	}
	others := slices.DeleteFunc(slices.Clone(chosen), func(n *node) bool { return n == nil })
	for _, id := range c.order {
		n := c.nodes[id]
		switch {
		case u.group.Strategy == "STRICT_SPREAD" && slices.Contains(others, n):
		case u.group.Strategy == "STRICT_PACK" && len(others) > 0 && n != others[0]:
		case n.fits(u.group.Bundles[bundle], selector):
			return n
		}
	}
	return nil
}
