package app

import (
	"cmp"
	"encoding/json"
	"reflect"
	"sort"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/same"
)

// storedOf finds what is stored of one planned status after the other: they come in the
// order of what is desired.
type storedOf struct {
	desired         actors.Desired
	servers, models int // of the last one
}

// next is the key of a status, and what is stored of its object; nil: nothing.
func (o *storedOf) next(s *state.Status) (state.Key, *state.Status) {
	if s.Kind == state.KindServer {
		all := o.desired.Servers
		o.servers = findFrom(o.servers, len(all), func(i int) int { return cmp.Compare(all[i].Name, s.Server) })
		if o.servers < len(all) && all[o.servers].Name == s.Server {
			return state.ServerKey(s.Server), all[o.servers].Status
		}
		return state.ServerKey(s.Server), nil
	}
	all := o.desired.Models
	o.models = findFrom(o.models, len(all), func(i int) int {
		return cmp.Or(cmp.Compare(all[i].Server, s.Server), cmp.Compare(all[i].Name, s.Name))
	})
	if o.models < len(all) && all[o.models].Server == s.Server && all[o.models].Name == s.Name {
		return state.ModelKey(s.Server, s.Name), all[o.models].Status
	}
	return state.ModelKey(s.Server, s.Name), nil
}

// findFrom is the first of n places that does not come before what is looked for, which is
// most often the last one or the one after it.
func findFrom(last, n int, order func(i int) int) int {
	for _, i := range []int{last, last + 1} {
		if i < n && order(i) == 0 {
			return i
		}
	}
	return sort.Search(n, func(i int) bool { return order(i) >= 0 })
}

// alike are the statuses that stand as they were planned, in the order of the plan that was
// looked at last. One that is at its place in memory in the next plan stands as well: what is
// stored of its object is the same, and what is kept of a model is another only where what
// is planned of it is.
type alike []*state.Status

// others are the statuses of a plan that are not known to stand.
func (a alike) others(planned []*state.Status) (others []*state.Status) {
	same.DiffPointers(a, planned, compareStatuses, func(_, now *state.Status) {
		if now != nil {
			others = append(others, now)
		}
	})
	return others
}

// without are the statuses of a plan but for some of them, in the same order.
func without(planned, some []*state.Status) alike {
	if len(some) == 0 {
		return planned
	}
	out := make(alike, 0, len(planned))
	for _, s := range planned {
		if len(some) > 0 && s == some[0] {
			some = some[1:]
			continue
		}
		out = append(out, s)
	}
	return out
}

// sameStatus compares them field by field.
func sameStatus(a, b state.Status) bool {
	a.Revision, b.Revision = 0, 0
	return reflect.DeepEqual(a, b)
}

// equalStatus compares all but the revision of the entry. Most statuses of a round
// are what they were, field by field; others may still be written alike (a time of
// another zone, an empty list).
func equalStatus(a, b state.Status) bool {
	if sameStatus(a, b) {
		return true
	}
	a.Revision, b.Revision = 0, 0
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
