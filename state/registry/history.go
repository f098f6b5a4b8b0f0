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
	shown  []state.Instance // sorted
	leases map[int64]int    // of shown, how often each; nil: nothing was listed yet
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
	before, first := len(h.leases), h.leases == nil
	fresh := h.follow(r.Instances)
	gone := &h.left
	if !first && (c.ClusterID != h.header.ClusterID || c.Revision < h.header.Revision || away && len(fresh) == before) {
		gone = &h.lost
	}
	*gone = append(*gone, fresh...)
	if n := len(*gone); n > maxGone {
		*gone = (*gone)[n-maxGone:]
	}
	h.header = c.header
	r.Lost, r.Left = slices.Clone(h.lost), slices.Clone(h.left)
}

// follow brings the leases to a list of instances, and returns those that it does not have any
// more, sorted. What is the same of both lists is only passed by.
func (h *history) follow(now []state.Instance) (gone []int64) {
	if h.leases == nil {
		h.leases = make(map[int64]int, len(now))
	}
	was := h.shown
	h.shown = now
	for len(was) > 0 || len(now) > 0 {
		switch {
		case len(was) > 0 && len(now) > 0 && was[0] == now[0]:
			was, now = was[1:], now[1:]
		case len(now) == 0 || len(was) > 0 && compareInstances(was[0], now[0]) <= 0:
			h.leases[was[0].Lease]--
			gone = append(gone, was[0].Lease)
			was = was[1:]
		default:
			h.leases[now[0].Lease]++
			now = now[1:]
		}
	}
	gone = slices.DeleteFunc(gone, func(lease int64) bool { return h.leases[lease] > 0 })
	for _, lease := range gone {
		delete(h.leases, lease)
	}
	slices.Sort(gone)
	return slices.Compact(gone)
}
