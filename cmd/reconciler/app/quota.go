package app

import (
	"cmp"
	"fmt"
	"slices"

	"dynctl/state"
	"dynctl/state/kv"
)

// toldOverQuota is how many objects past the bound get a status that says so; the
// rest is only counted, or the bound would bound nothing.
const toldOverQuota = 1000

// withinQuota leaves out the objects past the bound. Those that were accepted stay, then the oldest: what is there goes on, whatever comes. refused are told why.
func withinQuota(entries []kv.SpecEntry, known map[state.Key]state.Status, most int) (within []kv.SpecEntry, refused map[string]error) {
	if len(entries) <= most {
		return entries, nil
	}
	bound := most
	var fresh []kv.SpecEntry
	for _, e := range entries {
		key, err := state.ParseKey(e.Key)
		switch {
		case err != nil || e.Deleted:
			within = append(within, e)
		case known[key].AcceptedRevision > 0:
			within = append(within, e)
			most--
		default:
			fresh = append(fresh, e)
		}
	}
	if len(fresh) <= max(most, 0) {
		return entries, nil
	}
	slices.SortFunc(fresh, func(a, b kv.SpecEntry) int { return cmp.Compare(a.Revision, b.Revision) })
	room := max(most, 0)
	told := min(room+toldOverQuota, len(fresh))
	refused = map[string]error{}
	for _, e := range fresh[room:told] {
		refused[e.Key] = &state.Invalid{Reason: state.ReasonTooManyObjects,
			Message: fmt.Sprintf("the store holds more than %d servers and models, which is the reconciler's --max-objects: delete some, or raise it", bound)}
	}
	return append(within, fresh[:told]...), refused
}
