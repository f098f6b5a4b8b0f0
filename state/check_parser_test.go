package state

import (
	"strings"
	"testing"

	"dynctl/state/engineflags"
)

// What the program's parser refuses is rejected where it is written.
func TestParserRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, engine   string
		args           Args
		reason, at     string // of the fault; empty: none
		mentions, warn string
	}{
		{"a switch as text", EngineVLLM, args("enforce_eager", `"yes"`), ReasonInvalidArgument, "enforce_eager", "write true or false", ""},
		{"none of the choices", EngineVLLM, args("dtype", `"bfloat"`), ReasonInvalidArgument, "dtype", "did you mean float?", ""},
		{"one flag twice", EngineVLLM, args("tp", "2", "tensor_parallel_size", "4"), ReasonInvalidArgument, "tensor_parallel_size", "tp and tensor_parallel_size set one thing", ""},
		{"one flag in two spellings", EngineVLLM, args("max_model_len", "1", "max-model-len", "2"), ReasonInvalidArgument, "max-model-len", "keep one", ""},
		{"an object and its key", EngineVLLM, args("compilation_config", "{}", "compilation_config.mode", "3"), ReasonInvalidArgument, "compilation_config.mode", "set one thing", ""},
		{"two keys of an object", EngineVLLM, args("compilation_config.x", "1", "compilation_config.mode", "3"), "", "", "", ""},
		{"options beside their object", EngineTRTLLM, args("trtllm.a.b", "1", "override_engine_args", "{}"), ReasonInvalidArgument, "override_engine_args", "set one thing", ""},
		{"a managed flag by its alias", EngineSGLang, args("nccl_init_addr", `"h:1"`), ReasonManagedFlag, "nccl_init_addr", "--dist-init-addr", ""},
		{"an unknown name", EngineVLLM, args("max_model_length", "8192"), "", "", "", "did you mean max_model_len?"},
		{"another engine's name", EngineTRTLLM, args("max_num_seqs", "8"), "", "", "", "has no --max-num-seqs"},
		{"an unclear beginning", EngineVLLM, args("max_num", "8"), "", "", "", "is short for each of"},
		{"the mocker's shape", EngineMocker, args("tensor_parallel_size", "2"), "", "", "", ""},
		{"null", EngineVLLM, args("quantisation", "null"), "", "", "", ""},
	} {
		m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "m", Engine: tt.engine, EngineArgs: tt.args}}.WithDefaults()
		server := ServerSpec{}
		found := ValidateModel(m, server)
		switch {
		case tt.reason == "" && len(found) > 0:
			t.Errorf("%s: got %v", tt.name, found)
		case tt.reason != "" && (len(found) != 1 || found[0].Reason != tt.reason || found[0].Path != "spec.engineArgs."+tt.at || !strings.Contains(found[0].Message, tt.mentions)):
			t.Errorf("%s: got %v, want %s at %s that mentions %q", tt.name, found, tt.reason, tt.at, tt.mentions)
		}
		var told []string
		for _, w := range WarnModel(m.Spec, server) {
			told = append(told, w.String())
		}
		text := strings.Join(told, "\n")
		if tt.reason == "" && (tt.warn == "" && text != "" || !strings.Contains(text, tt.warn)) {
			t.Errorf("%s: warns %q, want %q", tt.name, text, tt.warn)
		}
	}
}

// A parser that was read on the nodes refuses what it does not know; the program
// would.
func TestParserOfTheNodesRefusesUnknown(t *testing.T) {
	table, err := engineflags.Parse([]byte(`{"program": "vllm", "versions": {"ai-dynamo": "1.5.0"}, "parsers": [{"flags": [
		{"names": ["--max-model-len"], "kind": "int"}, {"names": ["--tensor-parallel-size", "-tp"], "kind": "int"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	table.FromNodes = true
	set := engineflags.Set{EngineVLLM: table}
	m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "m", EngineArgs: args("max_model_length", "1", "max_model_len", "2")}}.WithDefaults()
	found := ValidateModelFor(set, m, ServerSpec{})
	if len(found) != 1 || found[0].Reason != ReasonUnknownArgument || !strings.Contains(found[0].Message, "did you mean max_model_len?") {
		t.Errorf("got %v, want one %s", found, ReasonUnknownArgument)
	}
}

// A role's argument takes the place of the model's, whatever name each has.
func TestRoleOverlaysByFlag(t *testing.T) {
	m := ModelSpec{Engine: EngineVLLM, Mode: ModeDisagg, EngineArgs: args("tensor_parallel_size", "2", "q", `"fp8"`),
		Decode: &RoleSpec{EngineArgs: args("tp", "4", "quantization", "null")}}
	got := m.RoleArgs(RoleDecode)
	if len(got) != 1 || got[0].Key != "tp" {
		t.Errorf("got %v, want tp alone", got)
	}
	if n, err := m.GPUsPerWorker(RoleDecode); n != 4 || err != nil {
		t.Errorf("%d GPUs, %v; want 4", n, err)
	}
}

// The frontend's arguments are checked by its own parser, and by that of the engine
// that it processes chats with.
func TestFrontendParser(t *testing.T) {
	server := func(a Args) Server {
		return Server{Metadata: Metadata{Name: "s"}, Spec: ServerSpec{Frontend: FrontendSpec{Args: a}}}.WithDefaults()
	}
	if found := ValidateServer(server(args("router_temperature", `"hot"`))); len(found) != 1 || found[0].Reason != ReasonInvalidArgument {
		t.Errorf("got %v, want one %s", found, ReasonInvalidArgument)
	}
	if w := WarnServer(server(args("max_model_len", "1")).Spec); len(w) != 1 {
		t.Errorf("warns %v, want one of an unknown flag", w)
	}
	if w := WarnServer(server(args("dyn_chat_processor", `"vllm"`, "max_model_len", "1")).Spec); len(w) != 0 {
		t.Errorf("warns %v of a flag of the chat processor", w)
	}
}
