package app

import (
	"slices"

	"dynctl/state"
)

// recordsMore reports whether a status says anything otherwise than the one in force of its
// object that commands may rest on: the words of conditions that do not hold, where a worker
// is in its life and how many of them run are for people alone. What is for them is named,
// so that a field which is added later counts.
func recordsMore(inForce map[state.Key]state.Status, s state.Status) bool {
	key, err := state.ParseKey(s.Key)
	was, known := inForce[key]
	if err != nil || !known {
		return true
	}
	comesTrue := func(c state.Condition) bool { // a generation is proven by such
		before, _ := was.Condition(c.Type)
		return c.Status == state.StatusTrue && before.Status != state.StatusTrue
	}
	return slices.ContainsFunc(s.Conditions, comesTrue) || !equalStatus(recordOf(was), recordOf(s))
}

// recordOf is a status without what is for people alone.
func recordOf(s state.Status) state.Status {
	s.Roles, s.Endpoint = nil, ""
	upToDate, _ := s.Condition(state.CondUpToDate) // says that a roll goes on, or was given up
	s.Conditions = []state.Condition{{Status: upToDate.Status, Reason: upToDate.Reason}}
	s.Placements = slices.Clone(s.Placements)
	for i := range s.Placements {
		p := &s.Placements[i]
		*p = state.PlacementStatus{Unit: p.Unit, Generation: p.Generation}
	}
	return s
}
