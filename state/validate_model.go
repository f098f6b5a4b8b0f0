package state

import (
	"errors"
	"strings"
)

// ValidateModel returns the rules that m breaks, in the order of its fields. m
// has its defaults filled in, and so has server, the spec of its server. What
// depends on routing besides is checked by package router.
func ValidateModel(m Model, server ServerSpec) []*Invalid {
	var f faults
	sp := m.Spec
	f.metadata(m.Metadata, KindModel)
	f.modelName(sp)
	f.oneOf(ReasonUnknownEngine, "spec.engine", sp.Engine, EngineVLLM, EngineSGLang, EngineTRTLLM, EngineMocker)
	f.roles(sp)
	f.modelArgs(sp)
	f.sizes(sp)
	f.modelRouter(sp.Router)
	f.env("spec.env", sp.Env)
	f.runtimeEnv("spec.runtimeEnv", MergeRuntimeEnv(server.RuntimeEnv, sp.RuntimeEnv),
		"the runtimeEnv, merged with that of the server,")
	f.atLeast("spec.resources.gpus", sp.Resources.GPUs, 0)
	f.atLeast("spec.resources.cpus", sp.Resources.CPUs, 0)
	if g, c := sp.Resources.GPUs, sp.Resources.CPUs; g != nil && *g == 0 && c != nil && *c == 0 {
		f.add(ReasonNoResources, "spec.resources", "a worker without GPUs and without CPUs is given no place by Ray; set cpus to 1 or more")
	}
	if sp.Placement.WaitForNodes != "" {
		f.add(ReasonUnknownValue, "spec.placement.waitForNodes", "a Model has no waitForNodes; set it in the Server")
	}
	f.oneOf(ReasonUnknownValue, "spec.update.type", sp.Update.Type, UpdateRolling)
	f.atLeast("spec.update.maxSurge", sp.Update.MaxSurge, 0)
	f.atLeast("spec.update.maxUnavailable", sp.Update.MaxUnavailable, 0)
	f.positive("spec.startupTimeout", sp.StartupTimeout)
	f.positive("spec.terminationGracePeriod", sp.TerminationGracePeriod)
	return f
}

func (f *faults) modelName(sp ModelSpec) {
	if sp.Model == "" {
		f.add(ReasonEmptyModel, "spec.model", "the model is missing; name a hub id or a path, such as Qwen/Qwen3-8B")
		return
	}
	if strings.ContainsRune(sp.Model+sp.ServedName, 0) {
		f.add(ReasonEmptyModel, "spec.model", "the name holds a NUL character, which no command line can; remove it")
	}
	if Slug(sp.ServedName) == "" {
		f.add(ReasonEmptySlug, "spec.servedName",
			"%q holds no letter a-z and no digit to name actors after; set another servedName", sp.ServedName)
	}
}

// roles adds the faults of the mode, its roles and its counts.
func (f *faults) roles(sp ModelSpec) {
	f.oneOf(ReasonUnknownMode, "spec.mode", sp.Mode, ModeAggregated, ModeDisagg)
	f.atLeast("spec.replicas", sp.Replicas, 0)
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
			f.atLeast(path+".replicas", role.spec.Replicas, 1)
		}
	}
	if sp.Mode == ModeDisagg && sp.Replicas != nil {
		f.add(ReasonReplicasWithDisagg, "spec.replicas",
			"replicas belongs to mode aggregated; set spec.prefill.replicas and spec.decode.replicas")
	}
}

// modelArgs adds the faults of the arguments that reach a command line.
func (f *faults) modelArgs(sp ModelSpec) {
	f.managedArgs(ReasonManagedFlag, "spec.engineArgs", sp.EngineArgs, workerFlags)
	for _, role := range []string{RolePrefill, RoleDecode} {
		if r := sp.Role(role); r != nil {
			f.managedArgs(ReasonManagedFlag, "spec."+role+".engineArgs", r.EngineArgs, workerFlags)
		}
	}
	f.managedArgs(ReasonManagedFlag, "spec.dynamoArgs", sp.DynamoArgs, workerFlags)
}

// sizes adds the faults of the parallel sizes of each role, each place once.
func (f *faults) sizes(sp ModelSpec) {
	seen := map[string]bool{}
	for _, role := range sp.Roles() {
		_, _, dp, err := sp.ParallelSizes(role)
		if invalid, ok := errors.AsType[*Invalid](err); ok {
			if !seen[invalid.Path] {
				*f = append(*f, invalid)
				seen[invalid.Path] = true
			}
			continue
		}
		local, ok := sp.localRanks(role)
		if !ok || sp.Engine != EngineVLLM {
			continue
		}
		n, parsed := positiveInt(local.Value)
		if (!parsed || n != dp) && !seen[local.path] {
			f.add(ReasonDataParallelNodes, local.path,
				"%s is %s of %d data parallel ranks, and all run on one node; remove it, and use replicas to spread over nodes",
				local.Key, local.Value, dp)
			seen[local.path] = true
		}
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
