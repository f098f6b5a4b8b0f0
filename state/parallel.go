package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dynctl/state/engineflags"
)

// maxParallelSize bounds one parallel size.
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

// ParallelSizes are the tensor, pipeline and data parallel sizes of a worker of a
// role, 1 where an argument is absent. Keys are taken as the command line takes
// them: in the "_" and in the "-" spelling, abbreviated, from dynamoArgs as well;
// the last one counts. The error is an [*Invalid].
func (m ModelSpec) ParallelSizes(role string) (tp, pp, dp int, err error) {
	s, invalid := m.sizes(role)
	if invalid != nil {
		return 1, 1, 1, invalid
	}
	return s.tensor, s.pipeline, s.data, nil
}

// parallelSizes are the sizes of which the GPUs of a worker are the product.
type parallelSizes struct {
	tensor, pipeline, data, prefillContext int
}

func (m ModelSpec) sizes(role string) (parallelSizes, *Invalid) {
	var s parallelSizes
	args := m.commandArgs(role)
	names := sizeNamesOf(m.Engine)
	if invalid := names.unknown(m.Engine, args); invalid != nil {
		return s, invalid
	}
	within := 1 // of tensor parallelism: they take no GPUs of their own
	for _, x := range []struct {
		size  *int
		names []string
	}{
		{&s.tensor, names.tensor}, {&s.pipeline, names.pipeline}, {&s.data, names.data},
		{&s.prefillContext, names.prefillContext}, {&within, names.within},
	} {
		n, invalid := parallelSize(m.Engine, args, x.names)
		if invalid != nil {
			return s, invalid
		}
		*x.size = n
	}
	return s, nil
}

// parallelSize is the last argument that sets a size under one of its names, 1
// where none does.
func parallelSize(engine string, args []commandArg, names []string) (int, *Invalid) {
	size := 1
	for _, x := range args {
		name, joined, ok := sizeFlag(aliased(engine, x.Key), names)
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
	own := m.roleOrNone(role)
	engine, dynamo := own.EngineArgs.places(), own.DynamoArgs.places()
	for _, x := range m.RoleArgs(role) {
		out = append(out, commandArg{x, rolePath(role, "engineArgs", x.Key, engine)})
	}
	for _, x := range m.RoleDynamoArgs(role) {
		out = append(out, commandArg{x, rolePath(role, "dynamoArgs", x.Key, dynamo)})
	}
	return out
}

// aliased is the name of the flag that a key sets by another of its names, such as
// tp; any other key as it is.
func aliased(engine, key string) string {
	found, ok := engineflags.Recorded(engine).Find(key)
	if !ok || found.Ambiguous != nil || found.Path != "" || found.Joined {
		return key
	}
	return found.Name()
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

func positiveInt(value json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(string(value))
	return n, err == nil && n > 0 && n <= maxParallelSize
}
