package registry

import (
	"cmp"
	"maps"
	"slices"

	"dynctl/state"
	"dynctl/state/sorted"
)

// contents is what one etcd holds, as of a revision.
//
// Invariant: every batch applied is newer than all before it and comes from the
// cluster that was listed.
type contents struct {
	header
	members   []string
	instances map[workerKey]bool
	cards     map[workerKey]bool
	gates     map[workerKey]bool
	// shown are the instances that were last handed out, touched the workers of which
	// something has changed since.
	shown   []state.Instance
	touched map[workerKey]bool
}

func newContents(l listing) *contents {
	c := &contents{header: l.header, members: l.Members, instances: map[workerKey]bool{}, cards: map[workerKey]bool{}, gates: map[workerKey]bool{}, touched: map[workerKey]bool{}}
	for _, key := range l.Keys {
		c.apply(change{Key: key})
	}
	return c
}

func (c *contents) apply(ch change) {
	k, kind := parseKey(ch.Key)
	var set map[workerKey]bool
	switch kind {
	case kindInstance:
		set = c.instances
		c.touched[k] = true
	case kindCard:
		set = c.cards
		c.touched[k] = true
	case kindGate:
		set = c.gates
	default:
		return
	}
	if ch.Deleted {
		delete(set, k)
	} else {
		set[k] = true
	}
}

// registrations is the contents as others read them.
func (c *contents) registrations() state.Registrations {
	r := state.Registrations{Known: true, ClusterID: c.ClusterID, Members: c.members, Revision: c.Revision}
	for _, k := range sortedKeys(c.gates) {
		r.Gates = append(r.Gates, state.Gate{Namespace: k.namespace, Lease: k.lease})
	}
	r.Instances = c.list()
	return r
}

// patchAtMost is the part of all workers of which something may have changed, as its
// divisor, before the list of them is made from all.
const patchAtMost = 8

// list are the instances, sorted. A list that was handed out stays as it is, and is handed
// out again as long as nothing of it changes.
func (c *contents) list() []state.Instance {
	if len(c.touched) > 1+len(c.shown)/patchAtMost {
		c.shown = make([]state.Instance, 0, len(c.instances))
		for _, k := range sortedKeys(c.instances) {
			c.shown = append(c.shown, c.instance(k))
		}
		clear(c.touched)
		return c.shown
	}
	p := sorted.Of(c.shown, compareInstances)
	for k := range c.touched {
		now := c.instance(k)
		there := c.instances[k]
		if was, found := p.Get(now); found != there || was != now {
			p.Put(now, there)
		}
	}
	c.shown = p.List()
	clear(c.touched)
	return c.shown
}

// instance is a worker as others read it. A card without an instance is none: nothing can be
// sent to it.
func (c *contents) instance(k workerKey) state.Instance {
	return state.Instance{Namespace: k.namespace, Component: k.component, Endpoint: servedEndpoint, Lease: k.lease, Card: c.cards[k]}
}

func compareInstances(a, b state.Instance) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Lease, b.Lease))
}

func sortedKeys(set map[workerKey]bool) []workerKey {
	return slices.SortedFunc(maps.Keys(set), func(a, b workerKey) int {
		return cmp.Or(
			cmp.Compare(a.namespace, b.namespace),
			cmp.Compare(a.component, b.component),
			cmp.Compare(a.lease, b.lease),
		)
	})
}
