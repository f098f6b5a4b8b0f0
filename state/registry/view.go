package registry

import (
	"cmp"
	"maps"
	"slices"

	"dynctl/state"
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
}

func newContents(l listing) *contents {
	c := &contents{header: l.header, members: l.Members, instances: map[workerKey]bool{}, cards: map[workerKey]bool{}, gates: map[workerKey]bool{}}
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
	case kindCard:
		set = c.cards
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

// registrations is the contents as others read them. A card without an instance
// is no worker: nothing can be sent to it.
func (c *contents) registrations() state.Registrations {
	r := state.Registrations{Known: true, ClusterID: c.ClusterID, Members: c.members, Revision: c.Revision}
	for _, k := range sorted(c.gates) {
		r.Gates = append(r.Gates, state.Gate{Namespace: k.namespace, Lease: k.lease})
	}
	for _, k := range sorted(c.instances) {
		r.Instances = append(r.Instances, state.Instance{
			Namespace: k.namespace,
			Component: k.component,
			Endpoint:  servedEndpoint,
			Lease:     k.lease,
			Card:      c.cards[k],
		})
	}
	return r
}

func sorted(set map[workerKey]bool) []workerKey {
	return slices.SortedFunc(maps.Keys(set), func(a, b workerKey) int {
		return cmp.Or(
			cmp.Compare(a.namespace, b.namespace),
			cmp.Compare(a.component, b.component),
			cmp.Compare(a.lease, b.lease),
		)
	})
}
