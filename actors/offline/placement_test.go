package offline

import (
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/state"

	"github.com/google/go-cmp/cmp"
)

// Data parallel ranks find each other on one node, so a worker with several is
// never split; where they share the GPUs of tensor parallelism it may be.
func TestDataParallelFitsOneNode(t *testing.T) {
	for _, row := range []struct {
		name, engine, args string
		gpus               *int
		nodes              []state.Node
		want               []RenderedPending
		groups             int // bundles of the worker's group
	}{
		{"vllm over two nodes", state.EngineVLLM, `{"tensor_parallel_size": 4, "data_parallel_size": 2}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{{"abcd1234_org_m_DP0", actors.ReasonTPDoesNotFit}}, 0},
		{"vllm with its GPUs said", state.EngineVLLM, `{"data_parallel_size": 2}`, ptr(8),
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{{"abcd1234_org_m_DP0", actors.ReasonTPDoesNotFit}}, 0},
		{"vllm on one node", state.EngineVLLM, `{"tensor_parallel_size": 4, "data_parallel_size": 2}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 8)}, []RenderedPending{}, 1},
		{"mocker over two nodes", state.EngineMocker, `{"data_parallel_size": 8}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{{"abcd1234_org_m_DP0", actors.ReasonTPDoesNotFit}}, 0},
		{"sglang over two nodes", state.EngineSGLang, `{"tp_size": 4, "dp_size": 2}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{{"abcd1234_org_m_DP0", actors.ReasonTPDoesNotFit}}, 0},
		{"sglang whose dp shares tp's GPUs", state.EngineSGLang, `{"tp_size": 8, "dp_size": 2, "enable_dp_attention": true}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{}, 2},
		{"vllm without dp", state.EngineVLLM, `{"tensor_parallel_size": 8}`, nil,
			[]state.Node{gpuNode("a", 4), gpuNode("b", 4)}, []RenderedPending{}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			docs := []state.Doc{modelDoc("", "m", func(m *state.ModelSpec) {
				m.Engine, m.EngineArgs, m.Resources.GPUs = row.engine, args(t, row.args), row.gpus
			})}
			got := Render(Input{Docs: docs, Nodes: row.nodes, Generation: recordedGeneration})
			if diff := cmp.Diff(row.want, got.Pending); diff != "" {
				t.Fatal(diff)
			}
			if row.groups > 0 && (len(got.PlacementGroups) != 2 || len(got.PlacementGroups[1].Bundles) != row.groups) {
				t.Errorf("groups = %+v, want the worker in %d bundles", got.PlacementGroups, row.groups)
			}
		})
	}
}

// The mocker is not given the sizes that shape its placement, however they are
// spelt and wherever they are written.
func TestMockerIsNotGivenItsShape(t *testing.T) {
	docs := []state.Doc{modelDoc("", "m", func(m *state.ModelSpec) {
		m.Engine, m.EngineArgs = state.EngineMocker, args(t, `{"tensor_parallel": 2, "data_parallel": 2, "block_size": 32}`)
		m.DynamoArgs = args(t, `{"pipeline-parallel-size": 2}`)
	})}
	got := Render(Input{Docs: docs, Nodes: []state.Node{gpuNode("a", 8)}, Generation: recordedGeneration})
	i := slices.IndexFunc(got.Actors, func(a RenderedActor) bool { return a.GPUs == 8 })
	if i < 0 {
		t.Fatalf("no worker of 8 GPUs: %+v", got.Actors)
	}
	argv := got.Actors[i].Argv
	if diff := cmp.Diff([]string{"--data-parallel", "2", "--block-size", "32"}, argv[len(argv)-4:]); diff != "" {
		t.Error(diff)
	}
}
