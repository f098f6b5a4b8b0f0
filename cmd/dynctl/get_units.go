package main

import (
	"cmp"
	"context"
	"slices"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

// unitInfo is one item of `dynctl get units -o json`.
type unitInfo struct {
	Unit   string `json:"unit"`
	Server string `json:"server"`
	Model  string `json:"model"`
	// Role is aggregated, prefill or decode; empty for infra.
	Role       string          `json:"role"`
	Replica    int             `json:"replica"`
	Generation string          `json:"generation"`
	State      state.UnitState `json:"state"`
	// Node is the Ray node of bundle 0; empty until it is known.
	Node           string      `json:"node"`
	PlacementGroup string      `json:"placementGroup"`
	Actors         []actorInfo `json:"actors"`
}

// actorInfo is one actor of a unit.
type actorInfo struct {
	Name     string          `json:"name"`
	State    state.UnitState `json:"state"`
	PID      int             `json:"pid"`
	ChildPID int             `json:"childPid"`
	Attempt  int             `json:"attempt"`
	Ports    map[string]int  `json:"ports"`
	// Lease is the Dynamo instance id (an etcd lease) of the process; 0 until known.
	Lease int64 `json:"lease"`
}

func newUnitInfo(u state.Unit) unitInfo {
	info := unitInfo{
		Unit: u.Unit, Server: u.Server, Model: u.Model, Role: u.Role, Replica: u.Replica,
		Generation: u.Generation, State: u.State, PlacementGroup: u.PlacementGroup.Name,
		Actors: []actorInfo{},
	}
	if info.Role == "" && u.Model != "" {
		info.Role = state.ModeAggregated
	}
	// A group that waits again, its node being gone, still has that of before.
	placed := u.PlacementGroup.State == state.GroupCreated || u.PlacementGroup.State == ""
	if nodes := u.PlacementGroup.Nodes; placed && len(nodes) > 0 {
		info.Node = nodes[0]
	}
	// The bundle is the rank: the first serves, and its node is the unit's.
	for _, actor := range slices.SortedStableFunc(slices.Values(u.Actors), func(a, b state.Actor) int { return cmp.Compare(a.Bundle, b.Bundle) }) {
		if placed && (info.Node == "" || actor.Bundle == 0 && actor.Node != "") {
			info.Node = actor.Node
		}
		ports := actor.Ports
		if ports == nil {
			ports = map[string]int{}
		}
		info.Actors = append(info.Actors, actorInfo{
			Name: actor.Name, State: actor.State, PID: actor.PID, ChildPID: actor.ChildPID,
			Attempt: actor.Attempt, Ports: ports, Lease: actor.Lease,
		})
	}
	return info
}

func (a *app) getUnits(ctx context.Context, c *kv.Client, names []string) (listing, error) {
	units, err := c.ListUnits(ctx)
	if err != nil {
		return listing{}, exit.Stored(err)
	}
	if a.conn.server != "" {
		units = slices.DeleteFunc(units, func(u *state.Unit) bool { return u.Server != a.conn.server })
	}
	units, err = selectNamed("unit", units, names, func(u *state.Unit) string { return u.Unit })
	infos := []unitInfo{}
	l := listing{}
	l.table.add("UNIT", "SERVER", "MODEL", "ROLE", "STATE", "NODE", "ATTEMPT", "AGE", "REASON")
	for _, u := range units {
		info := newUnitInfo(*u)
		infos = append(infos, info)
		l.names = append(l.names, "unit/"+u.Unit)
		attempt := 0
		for _, actor := range u.Actors {
			attempt = max(attempt, actor.Attempt)
		}
		l.table.add(u.Unit, u.Server, prose.OrDash(u.Model), prose.OrDash(info.Role), a.style.unitState(u.State), prose.OrDash(prose.ShortID(info.Node)),
			count(attempt), prose.Age(a.now(), u.ChangedAt), prose.OrDash(whyUnit(*u)))
	}
	l.items = infos
	// The id of a unit names its model and role.
	l.table.spare = []int{3, 2, 6}
	if oneServer(units, func(u *state.Unit) string { return u.Server }) {
		l.table.spare = []int{3, 2, 1, 6}
	}
	return l, err
}

// whyUnit is why a unit is not as it should be: its own reason, else that of the exit
// that it is in.
func whyUnit(u state.Unit) string {
	if u.Reason != "" || u.State != state.UnitExited {
		return u.Reason
	}
	for _, a := range u.Actors {
		if a.State == state.UnitExited && a.Exit != nil && a.Exit.Reason != "" {
			return a.Exit.Reason
		}
	}
	return ""
}

// unitState gives a unit's state its colour.
func (p palette) unitState(s state.UnitState) string {
	switch s {
	case state.UnitRunning:
		return p.good(string(s))
	case state.UnitExited, state.ActorDead:
		return p.bad(string(s))
	}
	return p.warn(string(s))
}
