package plan

import (
	"maps"
	"slices"

	"dynctl/state"
)

// unseen reports whether it is not known what runs.
func (r *round) unseen() bool { return agentLost(r.in) || !r.in.Observed.Synced }

// countsOf are the counts of a role.
func (r *round) countsOf(m *model, x *role) state.RoleStatus {
	counts := roleStatus(m, x)
	counts.LastKnown = r.unseen() || counts.Running > 0 && m.unheard() // of what does not run nothing is ready
	return counts
}

// lastKnown are counts that stand though nobody tells them now.
func lastKnown(roles map[string]state.RoleStatus) map[string]state.RoleStatus {
	said := true // already, so the same ones stay
	for _, counts := range roles {
		said = said && counts.LastKnown
	}
	if said {
		return roles
	}
	out := maps.Clone(roles)
	for name, counts := range out {
		counts.LastKnown = true
		out[name] = counts
	}
	return out
}

// countsAsReady reports whether a status says of a unit that it is ready: while it cannot be
// told whether it is registered or listed, what was said of it last stands as long as it runs.
// No decision rests on that.
func (m *model) countsAsReady(u *unit) bool {
	return u.ready() || u.running() && m.unheard() && wasReady(m.Status, u.Unit.Unit)
}

func wasReady(was *state.Status, unit string) bool {
	return was != nil && slices.ContainsFunc(was.Placements, func(x state.PlacementStatus) bool {
		return x.Unit == unit && x.State == placementReady
	})
}
