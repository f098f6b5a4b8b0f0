package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxParallelSize bounds one parallel size, so that a product of three fits an int.
const maxParallelSize = 1 << 16

// Roles lists the roles of the workers of a model, in the order in which they
// start: decode before prefill.
func (m ModelSpec) Roles() []string {
	if m.Mode == ModeDisagg {
		return []string{RoleDecode, RolePrefill}
	}
	return []string{RoleAggregated}
}

// Role is the spec of a role of a disaggregated model; nil where there is none.
func (m ModelSpec) Role(role string) *RoleSpec {
	switch role {
	case RolePrefill:
		return m.Prefill
	case RoleDecode:
		return m.Decode
	}
	return nil
}

// RoleReplicas is how many workers of a role are wanted; 0 while the model is
// suspended.
func (m ModelSpec) RoleReplicas(role string) int {
	n := m.Replicas
	if role != RoleAggregated {
		n = nil
		if r := m.Role(role); r != nil {
			n = r.Replicas
		}
	}
	switch {
	case m.Suspend:
		return 0
	case n == nil:
		return 1
	}
	return *n
}

// RoleArgs are the engine arguments of a role: the model's, overlaid by the role's.
func (m ModelSpec) RoleArgs(role string) Args {
	if r := m.Role(role); r != nil {
		return m.EngineArgs.Overlay(r.EngineArgs)
	}
	return m.EngineArgs.Clone()
}

// ParallelSizes are the tensor, pipeline and data parallel sizes of a worker of a
// role, 1 where an argument is absent. Keys are taken as the command line takes
// them: in the "_" and in the "-" spelling, abbreviated, from dynamoArgs as well;
// the last one counts. The error is an [*Invalid].
func (m ModelSpec) ParallelSizes(role string) (tp, pp, dp int, err error) {
	names := parallelKeys(m.Engine)
	sizes := [3]int{1, 1, 1}
	for i, keys := range names {
		n, invalid := m.parallelSize(role, keys)
		if invalid != nil {
			return 1, 1, 1, invalid
		}
		sizes[i] = n
	}
	return sizes[0], sizes[1], sizes[2], nil
}

// parallelSize is the last argument of a role that sets a size under one of its
// names, 1 where none does.
func (m ModelSpec) parallelSize(role string, names []string) (int, *Invalid) {
	size := 1
	for _, x := range m.commandArgs(role) {
		name, joined, ok := sizeFlag(x.Key, names)
		if !ok {
			continue
		}
		n, parsed := positiveInt(x.Value)
		if parsed && !joined {
			size = n
			continue
		}
		return 1, &Invalid{
			Reason: ReasonBadParallelSize,
			Path:   x.path,
			Message: fmt.Sprintf("%s sets --%s and is %s; write %s: N with a whole number from 1 to %d, without quotes",
				x.Key, name, x.Value, strings.ReplaceAll(name, "-", "_"), maxParallelSize),
		}
	}
	return size, nil
}

// commandArg is an argument of a command line with the place where it is written.
type commandArg struct {
	Arg
	path string
}

// commandArgs are the arguments of a role in the order of its command line.
func (m ModelSpec) commandArgs(role string) []commandArg {
	var out []commandArg
	for _, x := range m.RoleArgs(role) {
		out = append(out, commandArg{x, m.argPath(role, x.Key)})
	}
	for _, x := range m.DynamoArgs {
		out = append(out, commandArg{x, "spec.dynamoArgs." + x.Key})
	}
	return out
}

// localRanks is the last argument of a role that splits its data parallel ranks.
func (m ModelSpec) localRanks(role string) (last commandArg, ok bool) {
	const flag = "data-parallel-size-local"
	for _, x := range m.commandArgs(role) {
		dashed := strings.ReplaceAll(x.Key, "_", "-")
		if strings.HasPrefix(flag, dashed) && strings.HasPrefix(dashed, "data-parallel-size-") {
			last, ok = x, true
		}
	}
	return last, ok
}

// sizeFlag says which flag of names a key of arguments sets. The key is compared
// as it reaches the command line: "_" as "-", and since argparse takes
// abbreviations, any prefix of a flag counts as the flag. joined: it holds a "=",
// after which the value would stand in the key.
func sizeFlag(key string, names []string) (name string, joined, ok bool) {
	dashed, _, joined := strings.Cut(strings.ReplaceAll(key, "_", "-"), "=")
	i := slices.IndexFunc(names, func(name string) bool { return dashed != "" && strings.HasPrefix(name, dashed) })
	if i < 0 {
		return "", false, false
	}
	return names[i], joined, true
}

// ParallelFlag says whether a key of arguments sets the tensor or the pipeline
// parallel size of an engine, in any of the spellings that count.
func ParallelFlag(engine, key string) bool {
	names := parallelKeys(engine)
	_, _, ok := sizeFlag(key, slices.Concat(names[0], names[1]))
	return ok
}

// parallelKeys are the names of the tensor, pipeline and data parallel size of an
// engine, in the "-" spelling, each with its aliases.
func parallelKeys(engine string) [3][]string {
	switch engine {
	case EngineSGLang:
		return [3][]string{
			{"tp-size", "tensor-parallel-size"},
			{"pp-size", "pipeline-parallel-size"},
			{"dp-size", "data-parallel-size"},
		}
	case EngineTRTLLM:
		return [3][]string{{"tensor-parallel-size"}, {"pipeline-parallel-size"}, nil}
	}
	return [3][]string{{"tensor-parallel-size"}, {"pipeline-parallel-size"}, {"data-parallel-size"}}
}

// GPUsPerWorker is the number of whole GPUs of one worker of a role. Where
// resources.gpus is not set it is tensor x pipeline x data parallel size; sglang
// with enable_dp_attention shares the GPUs of tensor parallelism. The mocker
// counts like the engine that it stands for, though it uses none: resources.gpus
// 0 runs it where there are none. The error is an [*Invalid].
func (m ModelSpec) GPUsPerWorker(role string) (int, error) {
	tp, pp, dp, err := m.ParallelSizes(role)
	if err != nil {
		return 0, err
	}
	if m.Resources.GPUs != nil {
		return *m.Resources.GPUs, nil
	}
	if m.SharesGPUs(role) {
		return tp * pp, nil
	}
	return tp * pp * dp, nil
}

// SharesGPUs says that the data parallel ranks of a role's workers run on the
// GPUs of tensor parallelism: sglang with enable_dp_attention.
func (m ModelSpec) SharesGPUs(role string) bool {
	if m.Engine != EngineSGLang {
		return false
	}
	shares := false
	for _, x := range m.commandArgs(role) {
		if strings.ReplaceAll(x.Key, "_", "-") == "enable-dp-attention" {
			shares = string(x.Value) == "true"
		}
	}
	return shares
}

// HybridKVCache says that a worker of a role explicitly enables the hybrid KV
// cache manager (disable_hybrid_kv_cache_manager is exactly false), with which
// it cannot publish KV events.
func (m ModelSpec) HybridKVCache(role string) bool {
	x, ok := m.lastArg(role, hybridKVCacheKey)
	return ok && string(x.Value) == "false"
}

// HybridKVCachePath is where the argument that HybridKVCache speaks of is written.
func (m ModelSpec) HybridKVCachePath(role string) string {
	x, _ := m.lastArg(role, hybridKVCacheKey)
	return m.argPath(role, x.Key)
}

const hybridKVCacheKey = "disable-hybrid-kv-cache-manager"

// lastArg finds the last of a role's engine arguments whose key, in the "-"
// spelling, is one of keys.
func (m ModelSpec) lastArg(role string, keys ...string) (Arg, bool) {
	args := m.RoleArgs(role)
	for i := len(args) - 1; i >= 0; i-- {
		dashed := strings.ReplaceAll(args[i].Key, "_", "-")
		for _, k := range keys {
			if dashed == k {
				return args[i], true
			}
		}
	}
	return Arg{}, false
}

// argPath is where a role's engine argument is written.
func (m ModelSpec) argPath(role, key string) string {
	if r := m.Role(role); r != nil {
		if _, ok := r.EngineArgs.Get(key); ok {
			return "spec." + role + ".engineArgs." + key
		}
	}
	return "spec.engineArgs." + key
}

func positiveInt(value json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(string(value))
	return n, err == nil && n > 0 && n <= maxParallelSize
}
