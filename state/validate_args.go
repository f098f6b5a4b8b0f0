package state

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"dynctl/state/engineflags"
)

// argField is a field of arguments that reach a command line.
type argField struct {
	path string
	args Args
}

// argFields are those of a model and of its roles.
func (m ModelSpec) argFields() []argField {
	fields := []argField{{"spec.engineArgs", m.EngineArgs}, {"spec.dynamoArgs", m.DynamoArgs}}
	for _, role := range []string{RolePrefill, RoleDecode} {
		if r := m.Role(role); r != nil {
			fields = append(fields,
				argField{"spec." + role + ".engineArgs", r.EngineArgs},
				argField{"spec." + role + ".dynamoArgs", r.DynamoArgs})
		}
	}
	return fields
}

// engineFlags are managed for one engine alone.
var engineFlags = map[string][]managedFlagSpec{
	EngineVLLM:   {{"connector", "spec.kvTransferConfig"}},
	EngineTRTLLM: {{"publish-kv-events", "spec.router.kvEvents"}},
	EngineMocker: {{"is-prefill-worker", "spec.mode"}, {"is-decode-worker", "spec.mode"}},
}

// modelArgs adds the faults of the arguments that reach a command line.
func (f *faults) modelArgs(sp ModelSpec, table *engineflags.Table) {
	for _, field := range sp.argFields() {
		f.managedArgs(ReasonManagedFlag, field.path, field.args, workerFlags)
		for _, x := range field.args {
			if !f.has(field.path + "." + x.Key) {
				f.managedArgs(ReasonManagedFlag, field.path, Args{x}, engineFlags[sp.Engine])
			}
		}
	}
	f.sizes(sp)
	for _, field := range sp.argFields() {
		f.argKeys(field.path, field.args)
	}
	f.workerArgs(sp)
	for _, field := range sp.argFields() {
		f.trtllmObjects(sp.Engine, field)
		f.parserArgs(sp.Engine, field, table, workerFlags)
	}
	f.roleObjects(sp, table)
}

// argKeys adds a fault for each key that no command line can carry as a flag of
// its own.
func (f *faults) argKeys(path string, args Args) {
	for _, x := range args {
		at := path + "." + x.Key
		if f.has(at) {
			continue
		}
		plain := strings.TrimLeft(x.Key, "-")
		name, _, joined := strings.Cut(plain, "=")
		size := len(x.Value)
		if isText(x.Value) {
			size = len(jsonText(x.Value))
		}
		switch {
		case size > maxExecText:
			f.add(ReasonInvalidArgument, at, "the value has %d bytes, and Linux takes %d as one word of a command line; put it into a file that the process reads", size, maxExecText)
		case plain == "":
			f.add(ReasonInvalidArgument, path, "the key %q names no flag; write its name, such as max_model_len", x.Key)
		case strings.ContainsFunc(plain, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
			f.add(ReasonInvalidArgument, at, "%q holds a space, which no flag does; write each flag as a key of its own, with its value after the colon", x.Key)
		case joined:
			f.add(ReasonInvalidArgument, at, "the value stands in the key; write %s: VALUE", strings.ReplaceAll(name, "-", "_"))
		case plain != x.Key:
			f.add(ReasonInvalidArgument, at, "keys are written without the dashes before a flag; write %s", strings.ReplaceAll(plain, "-", "_"))
		}
	}
}

// sizes adds the faults of the parallel sizes of each role, each place once.
func (f *faults) sizes(sp ModelSpec) {
	seen := map[string]bool{}
	for _, role := range sp.Roles() {
		_, invalid := sp.sizes(role)
		if invalid != nil && !seen[invalid.Path] {
			*f = append(*f, invalid)
			seen[invalid.Path] = true
		}
	}
}

// workerArgs adds the faults of arguments of vllm that would have a worker run
// where dynctl does not place it, each place once.
func (f *faults) workerArgs(sp ModelSpec) {
	if sp.Engine != EngineVLLM {
		return
	}
	seen := map[string]bool{}
	for _, role := range sp.Roles() {
		_, _, dp, err := sp.ParallelSizes(role)
		for _, x := range sp.commandArgs(role) {
			if fault := cmp.Or(rayExecutor(x, aliased(sp.Engine, x.Key)), dataParallelNodes(x, aliased(sp.Engine, x.Key), dp, err == nil)); fault != nil && !seen[x.path] {
				*f = append(*f, fault)
				seen[x.path] = true
			}
		}
	}
}

// abbreviates reports whether a key sets a flag, by its name or by the beginning of
// it that is longer than stem: argparse takes abbreviations that are unambiguous.
func abbreviates(key, flag, stem string) bool {
	name := flagName(key)
	return strings.HasPrefix(flag, name) && len(name) > len(stem)
}

// rayExecutor is the fault of an argument by which vllm would spread a worker with
// a Ray of its own.
func rayExecutor(x commandArg, key string) *Invalid {
	executor := abbreviates(key, "distributed-executor-backend", "d") || abbreviates(key, "data-parallel-backend", "data-parallel-")
	if !executor || !strings.EqualFold(jsonText(x.Value), "ray") {
		return nil
	}
	return &Invalid{
		Reason: ReasonRayExecutor, Path: x.path,
		Message: "with ray the engine would place its ranks itself, beside the GPUs that this worker is given; remove it: dynctl spreads a worker over nodes by itself",
	}
}

// dataParallelFlags are those by which data parallel ranks of one worker run on
// several nodes.
var dataParallelFlags = []string{
	"data-parallel-address", "data-parallel-rank", "data-parallel-start-rank",
	"data-parallel-hybrid-lb", "data-parallel-external-lb",
}

func dataParallelNodes(x commandArg, key string, dp int, valid bool) *Invalid {
	const stem = "data-parallel-"
	if abbreviates(key, "data-parallel-size-local", stem+"size-") {
		if n, ok := positiveInt(x.Value); valid && (!ok || n != dp) {
			return &Invalid{
				Reason: ReasonDataParallelNodes, Path: x.path,
				Message: fmt.Sprintf("%s is %s of %d data parallel ranks, and all run on one node; remove it, and use replicas to spread over nodes",
					x.Key, x.Value, dp),
			}
		}
		return nil
	}
	for _, flag := range dataParallelFlags {
		if abbreviates(key, flag, stem) && string(x.Value) != "false" {
			return &Invalid{
				Reason: ReasonDataParallelNodes, Path: x.path,
				Message: "the data parallel ranks of a worker all run on one node and find each other there; remove it, and use replicas to spread over nodes",
			}
		}
	}
	return nil
}
