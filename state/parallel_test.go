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

func TestParallelSizes(t *testing.T) {
	tests := []struct {
		name       string
		spec       ModelSpec
		role       string
		tp, pp, dp int
		gpus       int
	}{
		{"none", ModelSpec{}, "", 1, 1, 1, 1},
		{"vllm", ModelSpec{EngineArgs: args("tensor_parallel_size", "2", "pipeline-parallel-size", "3", "data_parallel_size", "4")}, "", 2, 3, 4, 24},
		{"the last spelling counts", ModelSpec{EngineArgs: args("tensor_parallel_size", "2", "tensor-parallel-size", "4")}, "", 4, 1, 1, 4},
		{"more than any node has", ModelSpec{EngineArgs: args("tensor_parallel_size", "65536", "pipeline_parallel_size", "65536", "data_parallel_size", "65536", "prefill_context_parallel_size", "65536")}, "", 65536, 65536, 65536, 65536},
		{"a role overlays", ModelSpec{Mode: ModeDisagg, EngineArgs: args("tensor_parallel_size", "2"), Prefill: &RoleSpec{EngineArgs: args("tensor_parallel_size", "8")}}, RolePrefill, 8, 1, 1, 8},
		{"gpus wins", ModelSpec{EngineArgs: args("tensor_parallel_size", "2"), Resources: ResourcesSpec{GPUs: ptr(0)}}, "", 2, 1, 1, 0},
		{"sglang", ModelSpec{Engine: EngineSGLang, EngineArgs: args("tp_size", "2", "pp-size", "2", "dp_size", "2")}, "", 2, 2, 2, 8},
		{"sglang, full names", ModelSpec{Engine: EngineSGLang, EngineArgs: args("tensor_parallel_size", "2")}, "", 2, 1, 1, 2},
		{"sglang, dp attention", ModelSpec{Engine: EngineSGLang, EngineArgs: args("tp_size", "4", "dp_size", "4", "enable_dp_attention", "true")}, "", 4, 1, 4, 4},
		{"sglang, dp attention off", ModelSpec{Engine: EngineSGLang, EngineArgs: args("tp_size", "4", "dp_size", "2", "enable_dp_attention", "false")}, "", 4, 1, 2, 8},
		{"trtllm has no data parallel size", ModelSpec{Engine: EngineTRTLLM, EngineArgs: args("tensor_parallel_size", "2", "pipeline_parallel_size", "2", "data_parallel_size", "4")}, "", 2, 2, 1, 4},
		{"mocker counts like the engine it stands for", ModelSpec{Engine: EngineMocker, EngineArgs: args("data_parallel_size", "2")}, "", 1, 1, 2, 2},
		{"mocker without GPUs", ModelSpec{Engine: EngineMocker, EngineArgs: args("tensor_parallel_size", "2"), Resources: ResourcesSpec{GPUs: ptr(0)}}, "", 2, 1, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tp, pp, dp, err := tt.spec.ParallelSizes(tt.role)
			gpus, gpuErr := tt.spec.GPUsPerWorker(tt.role)
			if err := errors.Join(err, gpuErr); err != nil {
				t.Fatal(err)
			}
			if tp != tt.tp || pp != tt.pp || dp != tt.dp || gpus != tt.gpus {
				t.Errorf("got %d %d %d, %d GPUs", tp, pp, dp, gpus)
			}
		})
	}
}

func TestParallelSizesError(t *testing.T) {
	for _, value := range []string{"0", "-1", `"2"`, "2.0", "true", "99999999999999999999", "100000"} {
		_, err := ModelSpec{EngineArgs: args("tensor_parallel_size", value)}.GPUsPerWorker(RoleAggregated)
		if ReasonOf(err) != ReasonBadParallelSize {
			t.Errorf("%s: got %v", value, err)
		}
	}
	unset := ModelSpec{EngineArgs: args("tensor_parallel_size", "null")}
	if n, err := unset.GPUsPerWorker(RoleAggregated); n != 1 || err != nil {
		t.Errorf("null: %d GPUs, %v; want 1, as if it were left out", n, err)
	}
}
