package state

import (
	"strings"
	"unicode"

	"dynctl/state/engineflags"
)

// ValidateModel returns the rules that m breaks, in the order of its fields. m
// has its defaults filled in, and so has server, the spec of its server. What
// depends on routing besides is checked by package router.
func ValidateModel(m Model, server ServerSpec) []*Invalid { return ValidateModelFor(nil, m, server) }

// ValidateModelFor is ValidateModel with the command lines that the nodes take.
func ValidateModelFor(tables engineflags.Set, m Model, server ServerSpec) []*Invalid {
	var f faults
	sp := m.Spec
	f.metadata(m.Metadata, KindModel)
	f.modelName(sp)
	f.oneOf(ReasonUnknownEngine, "spec.engine", sp.Engine, EngineVLLM, EngineSGLang, EngineTRTLLM, EngineMocker)
	f.roles(sp)
	f.modelArgs(sp, tables.For(sp.Engine))
	f.kvConfigs(sp)
	f.modelRouter(sp.Router)
	f.runtimeEnv("spec.runtimeEnv", sp.RuntimeEnv, MergeRuntimeEnv(server.RuntimeEnv, sp.RuntimeEnv),
		"the runtimeEnv, merged with that of the server,")
	f.worker("spec", sp.Env, sp.Resources, sp.Placement)
	for _, role := range []string{RolePrefill, RoleDecode} {
		if r := sp.Role(role); r != nil {
			f.worker("spec."+role, r.Env, r.Resources, r.Placement)
		}
	}
	f.noResources(sp)
	f.oneOf(ReasonUnknownValue, "spec.update.type", sp.Update.Type, UpdateRolling)
	f.within("spec.update.maxSurge", sp.Update.MaxSurge, 0, MaxReplicas)
	f.within("spec.update.maxUnavailable", sp.Update.MaxUnavailable, 0, MaxReplicas)
	f.positive("spec.startupTimeout", sp.StartupTimeout)
	f.positive("spec.terminationGracePeriod", sp.TerminationGracePeriod)
	return f
}

// maxSlug bounds what units, actors and their files are named after. The longest of these
// names is a runtime directory's, nemo_curator_dynamo_{server}_{generation}_{slug}_prefill_{i},
// and no file has a name of more than 255 bytes.
const maxSlug = 140

func (f *faults) modelName(sp ModelSpec) {
	switch {
	case sp.Model == "":
		f.add(ReasonEmptyModel, "spec.model", "the model is missing; name a hub id or a path, such as Qwen/Qwen3-8B")
		return
	case strings.ContainsRune(sp.Model, 0):
		f.add(ReasonInvalidModel, "spec.model", "the name holds a NUL character, which no command line can; remove it")
		return
	case strings.HasPrefix(sp.Model, "-") && Slug(sp.ServedName) != "":
		f.add(ReasonInvalidModel, "spec.model", "%q begins with -, and the engine would take it for a flag; write a path from its directory, such as ./%s", sp.Model, sp.Model)
		return
	}
	switch bad := strings.IndexFunc(sp.ServedName, splitsNames); {
	case Slug(sp.ServedName) == "":
		f.add(ReasonEmptySlug, "spec.servedName",
			"%q holds no letter a-z and no digit to name actors after; set another servedName", sp.ServedName)
	case bad >= 0:
		f.add(ReasonInvalidServedName, "spec.servedName",
			"%q is several names to the engine, which splits them at spaces and commas; set a servedName of one word", sp.ServedName)
	case len(Slug(sp.ServedName)) > maxSlug:
		f.add(ReasonInvalidServedName, "spec.servedName",
			"the names of its actors and files would be longer than 255 characters: it comes to %d characters in them, and %d fit; set a shorter servedName",
			len(Slug(sp.ServedName)), maxSlug)
	case strings.HasPrefix(sp.ServedName, "-"):
		f.add(ReasonInvalidServedName, "spec.servedName", "%q begins with -, and the engine would take it for a flag; set another servedName", sp.ServedName)
	}
}

// splitsNames reports whether the engines split served names at a character, or no
// command line holds it.
func splitsNames(r rune) bool { return r == ',' || unicode.IsSpace(r) || unicode.IsControl(r) }

// worker adds the faults of what a model, or a role over it, says of its workers.
func (f *faults) worker(path string, env Env, r ResourcesSpec, p PlacementSpec) {
	f.env(path+".env", env)
	f.within(path+".resources.gpus", r.GPUs, 0, maxResources)
	f.within(path+".resources.cpus", r.CPUs, 0, maxResources)
	if p.WaitForNodes != "" {
		f.add(ReasonUnknownValue, path+".placement.waitForNodes", "a Model has no waitForNodes; set it in the Server")
	}
}

// noResources adds a fault for the first role whose workers would reserve nothing.
func (f *faults) noResources(sp ModelSpec) {
	for _, role := range sp.Roles() {
		r, path := sp.RoleResources(role), "spec.resources"
		if own := sp.roleOrNone(role).Resources; own != (ResourcesSpec{}) {
			path = "spec." + role + ".resources"
		}
		if r.GPUs != nil && *r.GPUs == 0 && r.CPUs != nil && *r.CPUs == 0 {
			f.add(ReasonNoResources, path, "a worker without GPUs and without CPUs is given no place by Ray; set cpus to 1 or more")
			return
		}
	}
}

// roles adds the faults of the mode, its roles and its counts.
func (f *faults) roles(sp ModelSpec) {
	f.oneOf(ReasonUnknownMode, "spec.mode", sp.Mode, ModeAggregated, ModeDisagg)
	f.within("spec.replicas", sp.Replicas, 0, MaxReplicas)
	roles := []struct {
		name string
		spec *RoleSpec
	}{{RolePrefill, sp.Prefill}, {RoleDecode, sp.Decode}}
	for i, role := range roles {
		path := "spec." + role.name
		other := roles[1-i]
		switch {
		case role.spec == nil:
			if sp.Mode == ModeDisagg && other.spec != nil {
				f.add(ReasonHalfDisagg, "spec."+other.name,
					"mode disagg needs both roles, and %s is missing; give both, or neither for one worker of each", role.name)
			}
		case sp.Mode == ModeAggregated:
			f.add(ReasonRolesWithoutDisagg, path, "roles belong to mode disagg; set spec.mode to disagg or remove %s", role.name)
		case sp.Mode == ModeDisagg && role.spec.Replicas != nil && *role.spec.Replicas == 0:
			f.add(ReasonEmptyRole, path+".replicas",
				"a disaggregated model needs at least 1 worker of each role; to run none, set spec.suspend: true")
		default:
			f.within(path+".replicas", role.spec.Replicas, 1, MaxReplicas)
		}
	}
	if sp.Mode == ModeDisagg && sp.Replicas != nil {
		f.add(ReasonReplicasWithDisagg, "spec.replicas",
			"replicas belongs to mode aggregated; set spec.prefill.replicas and spec.decode.replicas")
	}
}

func (f *faults) modelRouter(r ModelRouter) {
	mode := NormalizeRouterMode(r.Mode)
	f.oneOf(ReasonUnknownRouterMode, "spec.router.mode", mode, append([]string{RouterInherit}, RouterModes()...)...)
	f.tristate("spec.router.kvEvents", r.KVEvents)
	if r.KVEvents == True && mode != RouterKV && mode != RouterInherit {
		f.add(ReasonKVEventsWithoutKV, "spec.router.kvEvents",
			"only the kv router reads KV events, and the mode is %s; set spec.router.mode to kv, or kvEvents to auto", mode)
	}
}
