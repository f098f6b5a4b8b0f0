package render

import (
	"slices"
	"strings"
	"testing"

	"dynctl/state"
)

// Both fields of arguments are written by what the engine's parser says of them.
func TestArgvByTheEnginesParser(t *testing.T) {
	m := state.Model{Metadata: state.Metadata{Name: "m"}, Spec: state.ModelSpec{
		Model: "m", Engine: state.EngineVLLM,
		EngineArgs: state.Args{
			{Key: "tp", Value: []byte("2")},
			{Key: "cudagraph_capture_sizes", Value: []byte("[1, 2]")},
			{Key: "kernel_config.enable_flashinfer_autotune", Value: []byte("false")},
		},
		DynamoArgs: state.Args{{Key: "disable_log_stats", Value: []byte("false")}, {Key: "no_such", Value: []byte("false")}},
	}}.WithDefaults()
	server := state.DefaultedServer("s").WithDefaults().Spec
	r, bad := Model(ModelInput{Server: "s", ServerSpec: server, Model: "m", Spec: m.Spec})
	if bad != nil {
		t.Fatal(bad)
	}
	var got []string
	for _, w := range r.Roles[0].Tail {
		got = append(got, w.S)
	}
	want := strings.Fields("--tensor-parallel-size 2 --cudagraph-capture-sizes 1 2 --kernel-config.enable_flashinfer_autotune False --no-no-such")
	if !slices.Equal(got, want) || r.Roles[0].Needs.GPUs != 2 {
		t.Errorf("got %q on %d GPUs, want %q on 2", got, r.Roles[0].Needs.GPUs, want)
	}
}
