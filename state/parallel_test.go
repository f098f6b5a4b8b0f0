package state

import (
	"errors"
	"strings"
	"testing"
)

// What a command line takes for a parallel size counts as one, however it is written.
func TestParallelSizesInEverySpelling(t *testing.T) {
	for _, tt := range []struct {
		engine         string
		engineArgs     Args
		dynamoArgs     Args
		tp, pp, dp     int
		path, mentions string // of the fault
	}{
		{engine: EngineVLLM, engineArgs: args("tensor_parallel", "4"), tp: 4, pp: 1, dp: 1},
		{engine: EngineVLLM, engineArgs: args("tensor-parallel-siz", "4", "pipeline", "2", "data-par", "3"), tp: 4, pp: 2, dp: 3},
		{engine: EngineVLLM, engineArgs: args("tensor_parallel_size", "2"), dynamoArgs: args("tensor-parallel-size", "8"), tp: 8, pp: 1, dp: 1},
		{engine: EngineVLLM, dynamoArgs: args("data_parallel_size", "2"), tp: 1, pp: 1, dp: 2},
		{engine: EngineVLLM, engineArgs: args("tensor_parallel_size", "4", "tensor_parallel", "2"), tp: 2, pp: 1, dp: 1},
		{engine: EngineVLLM, engineArgs: args("tensor_parallel_sizes", "4", "data_parallel_size_local", "1", "tokenizer", `"x"`), tp: 1, pp: 1, dp: 1},
		{engine: EngineSGLang, engineArgs: args("tp", "4", "pp_size", "2", "dp", "2"), tp: 4, pp: 2, dp: 2},
		{engine: EngineSGLang, engineArgs: args("tp-size", "4", "tensor-parallel", "8", "data_parallel_size", "2"), tp: 8, pp: 1, dp: 2},
		{engine: EngineTRTLLM, engineArgs: args("tensor", "4", "data_parallel_size", "2"), tp: 4, pp: 1, dp: 1},
		{engine: EngineMocker, engineArgs: args("data_parallel", "2"), tp: 1, pp: 1, dp: 2},
		{engine: EngineVLLM, engineArgs: args("tensor_parallel", `"4"`), path: "spec.engineArgs.tensor_parallel", mentions: "--tensor-parallel-size"},
		{engine: EngineVLLM, dynamoArgs: args("pipeline-parallel-size", "0"), path: "spec.dynamoArgs.pipeline-parallel-size", mentions: "--pipeline-parallel-size"},
		{engine: EngineSGLang, engineArgs: args("tp=4", "true"), path: "spec.engineArgs.tp=4", mentions: "tp_size: N"},
		{engine: EngineSGLang, engineArgs: args("pp", "2"), path: "spec.engineArgs.pp", mentions: "pp_size"},
		{engine: EngineVLLM, engineArgs: args("tp", "8", "pcp", "2"), dynamoArgs: args("dp", "2"), tp: 8, pp: 1, dp: 2},
		{engine: EngineVLLM, engineArgs: args("tp_size", "8"), path: "spec.engineArgs.tp_size", mentions: "tensor_parallel_size"},
		{engine: EngineVLLM, dynamoArgs: args("dp-size", "8"), path: "spec.dynamoArgs.dp-size", mentions: "data_parallel_size"},
		{engine: EngineVLLM, engineArgs: args("prefill_context", "0"), path: "spec.engineArgs.prefill_context", mentions: "prefill_context_parallel_size"},
		{engine: EngineVLLM, engineArgs: args("prefill_context_parallel_size", `"2"`), path: "spec.engineArgs.prefill_context_parallel_size", mentions: "without quotes"},
		{engine: EngineVLLM, engineArgs: args("decode_context_parallel_size", "0"), path: "spec.engineArgs.decode_context_parallel_size", mentions: "from 1"},
		{engine: EngineTRTLLM, engineArgs: args("tp_size", "2"), path: "spec.engineArgs.tp_size", mentions: "tensor_parallel_size"},
		{engine: EngineTRTLLM, engineArgs: args("trtllm.tensor_parallel_size", "2"), path: "spec.engineArgs.trtllm.tensor_parallel_size", mentions: "write tensor_parallel_size"},
		{engine: EngineMocker, engineArgs: args("tp", "2"), path: "spec.engineArgs.tp", mentions: "tensor_parallel_size"},
	} {
		m := ModelSpec{Engine: tt.engine, EngineArgs: tt.engineArgs, DynamoArgs: tt.dynamoArgs}
		tp, pp, dp, err := m.ParallelSizes(RoleAggregated)
		if tt.path == "" {
			if err != nil || tp != tt.tp || pp != tt.pp || dp != tt.dp {
				t.Errorf("%s %v %v: got %d, %d, %d, %v; want %d, %d, %d", tt.engine, tt.engineArgs, tt.dynamoArgs, tp, pp, dp, err, tt.tp, tt.pp, tt.dp)
			}
			continue
		}
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || invalid.Reason != ReasonBadParallelSize || invalid.Path != tt.path || !strings.Contains(invalid.Message, tt.mentions) {
			t.Errorf("%s %v %v: got %v, want a fault at %s that names %s", tt.engine, tt.engineArgs, tt.dynamoArgs, err, tt.path, tt.mentions)
		}
	}
	m := ModelSpec{Engine: EngineSGLang, EngineArgs: args("tp", "4", "dp", "2"), DynamoArgs: args("enable_dp_attention", "true")}
	if n, err := m.GPUsPerWorker(RoleAggregated); n != 4 || err != nil {
		t.Errorf("with dp attention in dynamoArgs: %d GPUs, %v; want 4", n, err)
	}
}
