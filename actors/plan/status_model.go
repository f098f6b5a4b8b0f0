package plan

import (
	"slices"

	"dynctl/actors"
	"dynctl/state"
)

// modelStatus is what is known of a model; nil where nothing of it is left. It lasts if no
// condition of it has changed by this round: the times of their transitions are then those of
// before, and not now.
func (r *round) modelStatus(m *model) (st *state.Status, lasts bool) {
	was := m.Status
	if m.deletion == deleted && r.acting && len(m.units) == 0 && !r.hiddenOf(m) {
		if was == nil {
			return nil, false
		}
		r.out.Gone = append(r.out.Gone, state.ModelKey(m.Server, m.Name))
		r.fact(actors.Fact{Type: actors.FactSpecDeleted, Server: m.Server, Model: m.Name, Revision: m.Revision, Reason: actors.ReasonDeleted,
			Message: "nothing of it is left"})
		return nil, false
	}
	st = r.made.statuses.one()
	st.Key, st.Kind, st.Server, st.Name = state.ModelKey(m.Server, m.Name).String(), state.KindModel, m.Server, m.Name
	st.ObservedRevision, st.AcceptedRevision, st.ObservedIn, st.AcceptedIn = m.Revision, m.Accepted, m.RevisionIn, m.AcceptedIn
	st.Generation = m.inForce.Generation
	if m.Accepted != 0 {
		st.Router, st.Endpoint = routerOf(m), m.server.endpoint()
	}
	if was != nil {
		st.Revision = was.Revision
	}
	if was != nil && !r.in.Observed.Synced { // what runs is not known, which is not nothing
		st.Roles, st.Placements, st.Endpoint = lastKnown(was.Roles), was.Placements, was.Endpoint
	} else {
		st.Roles, st.Placements = r.roles(m), r.placements(m)
	}
	c := r.conditions(was)
	c.accepted(m.Rejected, m.Accepted, m.Warnings, m.SpecMissing)
	r.modelConditions(c, m)
	st.Conditions = asBefore(c.was, c.list)
	if m.deletion == held && m.server.held > 0 {
		st.DeletionBlocked = m.Deleted.Revision
	}
	r.modelFacts(m, st)
	return st, was != nil && !c.moved
}

// routerOf, roles and placements are at the place of what was stored of a model where they are
// the same, as mostly all of them are.
func routerOf(m *model) *state.RouterStatus {
	if was := m.Status; was != nil && was.Router != nil && *was.Router == m.Router {
		return was.Router
	}
	router := m.Router
	return &router
}

func (r *round) roles(m *model) map[string]state.RoleStatus {
	if was := m.Status; was != nil && len(was.Roles) == len(m.roles) {
		other := func(x *role) bool {
			st, known := was.Roles[actors.RoleName(x.Role)]
			return !known || st != r.countsOf(m, x)
		}
		if !slices.ContainsFunc(m.roles, other) {
			return was.Roles
		}
	}
	all := make(map[string]state.RoleStatus, len(m.roles))
	for _, x := range m.roles {
		all[actors.RoleName(x.Role)] = r.countsOf(m, x)
	}
	return all
}

func (r *round) placements(m *model) []state.PlacementStatus {
	list := r.made.placements[:0]
	for _, v := range m.units {
		list = append(list, placement(v.Unit, m.countsAsReady(v)))
	}
	r.made.placements = list
	if m.Status == nil {
		return asBefore(nil, list)
	}
	return asBefore(m.Status.Placements, list)
}
