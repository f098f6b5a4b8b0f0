package state

import (
	"maps"
	"slices"
	"strings"

	"dynctl/state/engineflags"
)

// What a role says overlays what its model says. An aggregated worker has no role
// of its own, so that for it these are the model's.

// RoleArgs are the engine arguments of a role: the model's, overlaid by the role's.
// A key that is null is left out.
func (m ModelSpec) RoleArgs(role string) Args {
	return overlayFlags(m.Engine, m.EngineArgs, m.roleOrNone(role).EngineArgs)
}

// RoleDynamoArgs are the same for the arguments of dynamo.<engine>.
func (m ModelSpec) RoleDynamoArgs(role string) Args {
	return overlayFlags(m.Engine, m.DynamoArgs, m.roleOrNone(role).DynamoArgs)
}

// RoleEnv are the variables of a role's workers, without those of the server.
func (m ModelSpec) RoleEnv(role string) Env { return m.Env.Overlay(m.roleOrNone(role).Env) }

// RoleKVTransfer is the connector of a role's workers; empty where none is given.
func (m ModelSpec) RoleKVTransfer(role string) Args {
	return overlayKeys(m.KVTransferConfig, m.roleOrNone(role).KVTransferConfig)
}

// RoleKVEvents is the template of a role's workers for --kv-events-config.
func (m ModelSpec) RoleKVEvents(role string) Args {
	return overlayKeys(m.KVEventsConfig, m.roleOrNone(role).KVEventsConfig)
}

// RoleResources are what one worker of a role needs.
func (m ModelSpec) RoleResources(role string) ResourcesSpec {
	r := m.Resources
	own := m.roleOrNone(role).Resources
	if own.GPUs != nil {
		r.GPUs = own.GPUs
	}
	if own.CPUs != nil {
		r.CPUs = own.CPUs
	}
	return r
}

// RolePlacement is where a role's workers may run: the labels of the role are asked
// for besides the model's.
func (m ModelSpec) RolePlacement(role string) PlacementSpec {
	p, own := m.Placement.clone(), m.roleOrNone(role).Placement
	if own.ExcludeHeadNode != nil {
		p.ExcludeHeadNode = clonePtr(own.ExcludeHeadNode)
	}
	if len(own.NodeSelector) > 0 && p.NodeSelector == nil {
		p.NodeSelector = map[string]string{}
	}
	maps.Copy(p.NodeSelector, own.NodeSelector)
	return p
}

// roleOrNone is the spec of a role, or an empty one.
func (m ModelSpec) roleOrNone(role string) RoleSpec {
	if r := m.Role(role); r != nil {
		return *r
	}
	return RoleSpec{}
}

// rolePath is where a key of a field is written: in the role if its own field has the
// key, else in the model.
func rolePath(role, field, key string, own map[string]int) string {
	if _, ok := own[key]; ok {
		return "spec." + role + "." + field + "." + key
	}
	return "spec." + field + "." + key
}

// flagName is a key of arguments as it stands on a command line, without the
// dashes before it.
func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// argID tells the flag of an engine that a key sets, in any of its names: keys of one
// flag have one ID.
func argID(engine, key string) string {
	found, ok := engineflags.Recorded(engine).Find(key)
	if !ok || found.Ambiguous != nil || found.Repeats {
		return flagName(key)
	}
	return found.ID() + "\x00" + flagName(found.Path)
}

// overlayFlags overlays arguments of an engine's command line, a flag by a flag in
// whatever spelling; what is null in the end is left out.
func overlayFlags(engine string, base, over Args) Args {
	out := base.Clone()
	places := map[string][]int{}
	for i, x := range out {
		id := argID(engine, x.Key)
		places[id] = append(places[id], i)
	}
	for _, x := range over.Clone() {
		id := argID(engine, x.Key)
		at := places[id]
		for _, i := range at {
			out[i] = x
		}
		if len(at) == 0 {
			places[id] = []int{len(out)}
			out = append(out, x)
		}
	}
	return out.Present()
}

// overlayKeys overlays a JSON object: a key that is null in over is taken away.
func overlayKeys(base, over Args) Args {
	removed := map[string]bool{}
	for _, x := range over {
		removed[x.Key] = isNull(x.Value)
	}
	return slices.DeleteFunc(base.Overlay(over), func(x Arg) bool { return removed[x.Key] })
}

// Present returns a without the keys that are null.
func (a Args) Present() Args {
	if !slices.ContainsFunc(a, func(x Arg) bool { return isNull(x.Value) }) {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), func(x Arg) bool { return isNull(x.Value) })
}
