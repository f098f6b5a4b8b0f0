package kv

import (
	"slices"
	"strings"

	"dynctl/state"
)

// Stored is a status that is in force. A status that the bucket has lost without a delete
// marker stays, with Revision 0, so that writing it makes it again. Where a value cannot be
// read, the last one that could be stays in force at the revision of the value that is to
// be written over; where there is none, the object has no status, and [Views.Unreadable]
// names it.
type Stored struct {
	Key string // of the bucket, where anything may stand
	// Object is what Key names; the zero value where that is no object.
	Object state.Key
	Status *state.Status
	// Rewrite: it does not stand in the bucket, which has lost it, or holds something
	// unreadable in its place.
	Rewrite bool
}

// Statuses are the statuses by key, sorted; as long as one is what it was, it is at the
// same place in memory. Synced is as in SpecSnapshot.
func (v *Views) Statuses() (statuses []Stored, synced bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := &v.statusCache
	if c.version != 0 && c.version == v.statuses.currentVersion() {
		return c.view.statuses, c.view.synced
	}
	d := v.statuses.delta()
	c.version, c.view.synced = d.version, d.synced
	if d.whole {
		c.view.statuses = statusView(d.items)
	} else {
		c.view.statuses = patchStatuses(c.view.statuses, d.items)
	}
	return c.view.statuses, c.view.synced
}

func statusView(items map[string]item[state.Status]) []Stored {
	out := make([]Stored, 0, len(items))
	for _, it := range items {
		if s, ok := storedStatus(it); ok {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, compareStored)
	return out
}

func compareStored(a, b Stored) int { return strings.Compare(a.Key, b.Key) }

func storedStatus(it item[state.Status]) (Stored, bool) {
	if it.key == keyStoreID || !it.usable() {
		return Stored{}, false
	}
	s := it.val
	if it.missing {
		s.Revision = 0
	} else if it.held {
		s.Revision = it.rev
	}
	object, _ := sharedKey(it.key) // the zero value where it names none
	return Stored{Key: it.key, Object: object, Status: &s, Rewrite: it.missing || it.held}, true
}
