package registry

import (
	"slices"
	"sync"

	"dynctl/state"
)

// maxGone bounds how many leases that went are remembered of a server.
const maxGone = 1024

// history is what one server's etcd has held, for as long as this process watches
// it: also while it has no address, which it lacks while it is executed again.
type history struct {
	mu     sync.Mutex
	header header
	leases map[int64]bool // nil: nothing was listed yet
	lost   []int64
	left   []int64
}

// note compares contents with those before and tells r what has gone, and how.
// Without its data etcd answers as another cluster, or begins at a lower revision, or
// has, back from away, none of the leases that it had: a restart with its data loses
// none, but how far the revision has come by then is a matter of chance.
func (h *history) note(c *contents, r *state.Registrations, away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := map[int64]bool{}
	for k := range c.instances {
		now[k.lease] = true
	}
	var fresh []int64
	for l := range h.leases {
		if !now[l] {
			fresh = append(fresh, l)
		}
	}
	gone := &h.left
	if h.leases != nil && (c.ClusterID != h.header.ClusterID || c.Revision < h.header.Revision || away && len(fresh) == len(h.leases)) {
		gone = &h.lost
	}
	slices.Sort(fresh)
	*gone = append(*gone, fresh...)
	if n := len(*gone); n > maxGone {
		*gone = (*gone)[n-maxGone:]
	}
	h.header, h.leases = c.header, now
	r.Lost, r.Left = slices.Clone(h.lost), slices.Clone(h.left)
}
