package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"dynctl/state"
	"dynctl/state/kv"
)

// toldOverQuota is how many objects past a bound get a status that says so; the
// rest is only counted, or the bound would bound nothing.
const toldOverQuota = 1000

// largePart is the part of the bytes that large specs may take, as its divisor: the
// small ones are never crowded out by them.
const largePart = 4

// quota is what the objects that count take of the limits.
type quota struct {
	limits       kv.Limits
	objects      int
	servers      map[string]int // how many each has
	bytes, large int64
}

// counted is what of entries the quota rests on. Documents that are unreadable take no room.
type counted struct {
	statuses   map[state.Key]state.Status
	stands     *stands
	unreadable func(*kv.SpecEntry) bool
}

// begin is what those of entries take that stand as they were accepted.
func (c counted) begin(entries []*kv.SpecEntry, limits kv.Limits) quota {
	q := quota{limits: limits, servers: map[string]int{}}
	if c.stands.isOf(entries) {
		q = c.stands.quota
		q.limits, q.servers = limits, maps.Clone(q.servers)
	}
	return q
}

// one is which revision of an entry's object was accepted, 0: none, and what the entry takes.
func (c counted) one(e *kv.SpecEntry, key state.Key) (accepted uint64, size int64) {
	if !c.unreadable(e) {
		size = int64(e.Size)
	}
	return c.statuses[key].AcceptedRevision, size
}

// withinQuota leaves out the objects past the bounds. Those that were accepted stay,
// then the oldest: what is there goes on, whatever comes. A revision of an accepted
// object for which there is no room leaves the accepted one running. refused are told
// why.
func withinQuota(entries []*kv.SpecEntry, limits kv.Limits, of counted) (within []*kv.SpecEntry, refused map[string]error) {
	q := of.begin(entries, limits)
	type candidate struct {
		*kv.SpecEntry
		server   string
		accepted bool
		size     int64
	}
	var candidates []candidate
	for i, e := range entries {
		if of.stands.known(entries, i) != nil {
			continue // and counted
		}
		key, err := e.Object()
		if err != nil || e.Deleted {
			continue
		}
		revision, size := of.one(e, key)
		c := candidate{SpecEntry: e, server: key.Server, size: size, accepted: revision > 0}
		if c.accepted {
			q.keep(key.Server, 1)
		}
		if c.accepted && revision == e.Revision {
			q.add(c.size, 1)
			continue
		}
		candidates = append(candidates, c)
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.Revision, b.Revision) })
	told, left := 0, map[string]bool{}
	for _, c := range candidates {
		bad := q.room(c.server, c.size, c.accepted)
		if bad == nil {
			q.add(c.size, 1)
			if !c.accepted {
				q.keep(c.server, 1)
			}
			continue
		}
		if !c.accepted {
			if told++; told > toldOverQuota {
				left[c.Key] = true
				continue
			}
		}
		if refused == nil {
			refused = map[string]error{}
		}
		refused[c.Key] = bad
	}
	if len(left) == 0 {
		return entries, refused
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e *kv.SpecEntry) bool { return left[e.Key] }), refused
}

// keep counts an object of a server, so many times: one that is there no more is counted -1
// times.
func (q *quota) keep(server string, times int) {
	q.objects += times
	if q.servers[server] += times; q.servers[server] == 0 {
		delete(q.servers, server)
	}
}

// add counts what a document takes, likewise.
func (q *quota) add(size int64, times int) {
	q.bytes += size * int64(times)
	if size > kv.LargeSpec {
		q.large += size * int64(times)
	}
}

// room says why there is none for one more document; nil where there is.
func (q *quota) room(server string, size int64, accepted bool) error {
	l := q.limits
	switch {
	case !accepted && q.objects >= l.Objects:
		return &state.Invalid{Reason: state.ReasonTooManyObjects,
			Message: fmt.Sprintf("the store holds more than %d servers and models, which is the reconciler's --max-objects: delete some, or raise it", l.Objects)}
	case !accepted && q.servers[server] == 0 && len(q.servers) >= l.Servers:
		return &state.Invalid{Reason: state.ReasonTooManyObjects,
			Message: fmt.Sprintf("the store may hold %s and no more, which is the reconciler's --max-servers: delete some, or raise it", state.Counted(l.Servers, "server"))}
	case size > 0 && q.bytes+size > l.CurrentBytes:
		return &state.Invalid{Reason: state.ReasonTooManyBytes,
			Message: fmt.Sprintf("with its %d bytes the specs would hold more than %d together, which is the reconciler's --max-current-bytes: "+
				"delete some, or raise it", size, l.CurrentBytes)}
	case size > kv.LargeSpec && q.large+size > l.CurrentBytes/largePart:
		return &state.Invalid{Reason: state.ReasonTooManyBytes,
			Message: fmt.Sprintf("with its %d bytes those specs that have more than %d would hold more than %d together, which is a quarter of the reconciler's --max-current-bytes: "+
				"make it smaller, delete some, or raise it", size, kv.LargeSpec, l.CurrentBytes/largePart)}
	}
	return nil
}
