package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynctl/state/engineflags"
)

// sizeNames are the flags that set the parallel sizes of an engine, in the "-"
// spelling, each size with its aliases.
type sizeNames struct {
	tensor, pipeline, data, prefillContext []string
	// within are sizes that lie within tensor parallelism.
	within []string
	// wrong are names of sizes that other engines know, with what to write here: the
	// engine would refuse them, or take them for something else.
	wrong map[string]string
}

func sizeNamesOf(engine string) sizeNames {
	const tensor, pipeline, data, context = "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "prefill-context-parallel-size"
	wrong := map[string]string{
		"tp": tensor, "tp-size": tensor, "pp": pipeline, "pp-size": pipeline,
		"tensor-model-parallel-size": tensor, "pipeline-model-parallel-size": pipeline,
	}
	switch engine {
	case EngineSGLang:
		return sizeNames{
			tensor:   []string{"tp-size", tensor},
			pipeline: []string{"pp-size", pipeline},
			data:     []string{"dp-size", data},
			within:   []string{"ep-size", "expert-parallel-size"},
			// sglang has other flags that begin with --pp.
			wrong: map[string]string{"pp": "pp-size"},
		}
	case EngineTRTLLM:
		return sizeNames{
			tensor: []string{tensor}, pipeline: []string{pipeline}, within: []string{"expert-parallel-size"},
			wrong: wrong,
		}
	}
	wrong["dp"], wrong["dp-size"] = data, data
	names := sizeNames{tensor: []string{tensor}, pipeline: []string{pipeline}, data: []string{data}, wrong: wrong}
	if engine == EngineVLLM {
		names.prefillContext, names.within = []string{context}, []string{"decode-context-parallel-size"}
		wrong["pcp"], wrong["dcp"] = context, "decode-context-parallel-size"
	}
	return names
}

// unknown is the first argument that names a size as another engine does. A size
// that went by uncounted would leave the worker without its GPUs.
func (n sizeNames) unknown(engine string, args []commandArg) *Invalid {
	for _, x := range args {
		name := flagName(x.Key)
		right, ok := n.wrong[name]
		ok = ok && !engineflags.Recorded(engine).Knows(x.Key)
		if nested, found := strings.CutPrefix(name, "trtllm."); found && engine == EngineTRTLLM {
			i := slices.Index(trtllmSizes, nested)
			if ok = i >= 0; ok {
				right = nested
			}
		}
		if engine == EngineTRTLLM && name == "override-engine-args" {
			right, ok = nestedSize(x.Value)
		}
		if ok {
			return &Invalid{
				Reason:  ReasonBadParallelSize,
				Path:    x.path,
				Message: fmt.Sprintf("%s does not read %s as a parallel size, and nobody would count its GPUs; write %s", engine, x.Key, strings.ReplaceAll(right, "-", "_")),
			}
		}
	}
	return nil
}

// trtllmSizes are the sizes that trtllm also takes in the arguments that go around
// its flags, in the "-" spelling.
var trtllmSizes = []string{"tensor-parallel-size", "pipeline-parallel-size"}

// objectOrText is an object, or the one that text holds.
func objectOrText(value json.RawMessage) (Args, bool) {
	if text := jsonText(value); text != "" {
		value = json.RawMessage(text)
	}
	return asObject(value)
}

// nestedParallel reports whether an object, or text that holds one, sets a parallel
// size of any kind but those that lie within tensor parallelism.
func nestedParallel(value json.RawMessage) bool {
	object, _ := objectOrText(value)
	return slices.ContainsFunc(object, func(a Arg) bool {
		name := flagName(a.Key)
		return strings.HasSuffix(name, "parallel-size") && !strings.Contains(name, "expert") && !strings.Contains(name, "moe")
	})
}

// nestedSize is the first size that an object, or text that holds one, sets.
func nestedSize(value json.RawMessage) (name string, ok bool) {
	object, _ := objectOrText(value)
	i := slices.IndexFunc(object, func(a Arg) bool { return slices.Contains(trtllmSizes, flagName(a.Key)) })
	if i < 0 {
		return "", false
	}
	return object[i].Key, true
}

// ParallelFlag reports whether a key of arguments sets the tensor or the pipeline
// parallel size of an engine, in any of the spellings that count.
func ParallelFlag(engine, key string) bool {
	names := sizeNamesOf(engine)
	_, _, ok := sizeFlag(key, slices.Concat(names.tensor, names.pipeline))
	return ok
}
