package plan

import "dynctl/state"

// made is where a round makes what it concludes of each model: of many models it is so many
// small values, and made one by one they cost more than to conclude them.
type made struct {
	models    slab[model]
	roles     slab[role]
	units     slab[unit]
	statuses  slab[state.Status]
	rests     slab[rest]
	leases    slab[int64]
	places    slab[int]
	roleLists slab[*role]
	unitLists slab[*unit]
	// conditions and placements are those of the object under way.
	conditions conditions
	placements []state.PlacementStatus
	admission  admission
	texts      map[outOf]string
}

// outOf is what [state.OutOf] is asked for.
type outOf struct {
	n, of     int
	noun, are string
}

// slab makes values of one type several at a time, first one and then more: a round that
// looks at one model takes no more than that needs. What is kept of one keeps those that were
// made with it, so there are few.
type slab[T any] struct {
	free []T
	next int // how many are made at once
}

const mostAtOnce = 16

func (s *slab[T]) take(n int) []T {
	if len(s.free) < n {
		s.next = max(n, min(2*s.next, mostAtOnce))
		s.free = make([]T, s.next)
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// one is a zero value of its own.
func (s *slab[T]) one() *T { return &s.take(1)[0] }

// list is an empty list with room for n.
func (s *slab[T]) list(n int) []T {
	if n <= 0 {
		return nil
	}
	return s.take(n)[:0]
}

// placesIn is a list of places with room for one: most models have one unit.
func (m *made) placesIn(list []int) []int {
	if list == nil {
		return m.places.list(1)
	}
	return list
}
