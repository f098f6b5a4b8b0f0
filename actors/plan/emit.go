package plan

import (
	"cmp"
	"slices"

	"dynctl/actors"
)

// emit turns what was granted into the result, sorted. What is to end is not healed first,
// also where its end is put off.
func (r *round) emit() actors.Result {
	out := &r.out
	for _, k := range r.order {
		if r.stops[k] == nil {
			out.Starts = append(out.Starts, *r.starts[k])
		}
	}
	for _, s := range r.stops {
		if !s.putOff {
			out.Stops = append(out.Stops, s.End)
		}
	}
	slices.SortFunc(out.Starts, func(a, b actors.Start) int {
		s, t := a.Template, b.Template
		return cmp.Or(cmp.Compare(s.Server, t.Server), cmp.Compare(startRank(s), startRank(t)), cmp.Compare(s.Model, t.Model),
			cmp.Compare(s.Role, t.Role), cmp.Compare(s.Replica, t.Replica), cmp.Compare(s.Unit, t.Unit))
	})
	slices.SortFunc(out.Stops, func(a, b actors.End) int { return a.Key.Compare(b.Key) })
	slices.SortFunc(out.Sweeps, func(a, b actors.End) int { return a.Key.Compare(b.Key) })
	slices.SortFunc(out.Orphans, func(a, b actors.Orphan) int { return a.Key.Compare(b.Key) })
	slices.SortStableFunc(out.Waits, func(a, b actors.Wait) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(out.Revokes, func(a, b actors.Revoke) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Lease, b.Lease))
	})
	slices.SortFunc(out.Gates, func(a, b actors.Gate) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lease, b.Lease))
	})
	slices.SortFunc(out.Lifts, func(a, b actors.Lift) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lease, b.Lease))
	})
	return *out
}

// startRank puts infra first: everything needs it.
func startRank(t actors.UnitTemplate) int {
	if t.Unit == actors.InfraUnit {
		return 0
	}
	return 1
}
