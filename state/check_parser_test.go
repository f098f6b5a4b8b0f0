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
		{"a short option of its parser's own", EngineVLLM, args("O", "3"), "", "", "", ""},
		{"many choices", EngineVLLM, args("all2all_backend", `"deepep"`), ReasonInvalidArgument, "all2all_backend", `does not take "deepep", but one of`, ""},
		{"a key of no object", EngineVLLM, args("enforce_eager.x", "1"), "", "", "", "--enforce-eager takes no object"},
		{"a key of a parser without keys", EngineSGLang, args("json_model_override_args.a", "1"), "", "", "", "takes no object that could have keys"},
		{"options of trtllm by themselves", EngineTRTLLM, args("trtllm", "{}"), "", "", "", "write an option of TensorRT-LLM with its name"},
		{"an option of trtllm without its beginning", EngineTRTLLM, args("kv_cache_config", "{}"), "", "", "", "is written trtllm.NAME"},
		{"options of trtllm that are no object", EngineTRTLLM, args("override_engine_args", `"max_batch_size: 4"`), ReasonInvalidArgument, "override_engine_args", "takes an object", ""},
		{"options of trtllm in a list", EngineTRTLLM, args("override-engine-args", `[1]`), ReasonInvalidArgument, "override-engine-args", "takes an object", ""},
		{"options of trtllm in place of a file", EngineTRTLLM, args("extra_engine_args", `{"max_batch_size": 4}`), ReasonInvalidArgument, "extra_engine_args", "names a file", ""},
		{"Ray, however it is written", EngineVLLM, args("distributed_executor_backend", `"Ray"`), ReasonRayExecutor, "distributed_executor_backend", "remove it", ""},
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
	for _, tt := range []struct {
		processor, key string
		told           bool
	}{
		{"vllm", "max_model_len", false}, {"vllm", "enable_auto_tool_choice", false}, {"vllm", "tool_call_parser", false}, {"vllm", "dyn_tool_call_parser", true},
		{"sglang", "tool_call_parser", false}, {"sglang", "mem_fraction_static", true},
		{"dynamo", "tool_call_parser", true},
	} {
		w := WarnServer(server(args("dyn_chat_processor", `"`+tt.processor+`"`, tt.key, `"1"`)).Spec)
		if told := len(w) > 0; told != tt.told {
			t.Errorf("%s: %s is told: %v, want %v (%v)", tt.processor, tt.key, told, tt.told, w)
		}
	}
}

// Options of TensorRT-LLM that Dynamo would end at, or read as another.
func TestOptionsOfTRTLLM(t *testing.T) {
	for _, tt := range []struct {
		args Args
		path string // of the fault; empty: none
	}{
		{args("trtllm.a.b", "1", "trtllm.a.c", "-1"), ""},
		{args("trtllm.a", "1", "trtllm.a.c", "2"), "trtllm.a.c"},
		{args("trtllm.a.c", "1", "trtllm.a", "2"), "trtllm.a"},
		{args("trtllm.a..b", "1"), "trtllm.a..b"},
		{args("trtllm.a.", "1"), "trtllm.a."},
		{args("trtllm.a", `"--x"`), "trtllm.a"},
		{args("trtllm.a", `"-x"`), ""},
	} {
		m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "m", Engine: EngineTRTLLM, EngineArgs: tt.args}}.WithDefaults()
		found := ValidateModel(m, ServerSpec{})
		if tt.path == "" && len(found) > 0 || tt.path != "" && (len(found) != 1 || found[0].Path != "spec.engineArgs."+tt.path) {
			t.Errorf("%v: got %v, want a fault at %q", tt.args, found, tt.path)
		}
	}
}

// What a name that a program does not know was meant to be, or where it belongs.
func TestUnknownArgumentsLeadSomewhere(t *testing.T) {
	for _, tt := range []struct{ key, want, not string }{
		{"migration_limit", "spec.frontend.args", ""},
		{"enable_auto_tool_choice", "dyn_tool_call_parser", ""},
		{"chat_template", "custom_jinja_template", ""},
		{"tool_call_parser", "did you mean dyn_tool_call_parser", ""},
		{"served_model_name_x", "dynamo.vllm has no", "served_model_name?"},
	} {
		text, _ := UnknownArgument(EngineVLLM, tt.key)
		if !strings.Contains(text, tt.want) || tt.not != "" && strings.Contains(text, tt.not) {
			t.Errorf("%s: %s", tt.key, text)
		}
	}
}

// Text behind a dot that the engine reads as a number, and a connector without a name.
func TestWarningsOfTextAndConnectors(t *testing.T) {
	for _, tt := range []struct {
		spec ModelSpec
		path string
	}{
		{ModelSpec{Engine: EngineVLLM, EngineArgs: args("additional_config.version", `"1.10"`)}, "spec.engineArgs.additional_config.version"},
		{ModelSpec{Engine: EngineTRTLLM, EngineArgs: args("trtllm.version", `"8"`)}, "spec.engineArgs.trtllm.version"},
		{ModelSpec{Engine: EngineVLLM, EngineArgs: args("additional_config.version", `"v1"`)}, ""},
		{ModelSpec{Engine: EngineVLLM, KVTransferConfig: args("kv_role", `"kv_both"`)}, "spec.kvTransferConfig.kv_connector"},
		{ModelSpec{Engine: EngineVLLM, Mode: ModeDisagg, KVTransferConfig: args("kv_connector", `"X"`, "kv_role", `"kv_both"`),
			Decode: &RoleSpec{KVTransferConfig: args("kv_connector", "null")}, Prefill: &RoleSpec{}}, "spec.decode.kvTransferConfig.kv_connector"},
	} {
		m := Model{Metadata: Metadata{Name: "m"}, Spec: tt.spec}
		m.Spec.Model = "m"
		w := WarnModel(m.WithDefaults().Spec, DefaultedServer("default").Spec)
		if tt.path == "" && len(w) > 0 || tt.path != "" && (len(w) != 1 || w[0].Path != tt.path) {
			t.Errorf("%q: got %v", tt.path, w)
		}
	}
}

// An object of the model's and a key of it in a role stand on one command line, where
// the engine takes the last alone.
func TestAnObjectAndItsKeyInARole(t *testing.T) {
	for _, tt := range []struct {
		name, engine string
		model, role  Args
		at           string
	}{
		{"a key over an object", EngineVLLM, args("speculative_config", `{"method": "ngram"}`), args("speculative_config.num_speculative_tokens", "3"),
			"spec.prefill.engineArgs.speculative_config.num_speculative_tokens"},
		{"an object over a key", EngineVLLM, args("compilation_config.mode", "3"), args("compilation-config", "{}"), "spec.prefill.engineArgs.compilation-config"},
		{"a key over a key", EngineVLLM, args("compilation_config.mode", "3"), args("compilation_config.mode", "2", "compilation_config.x", "1"), ""},
		{"an object over an object", EngineVLLM, args("compilation_config", `{"mode": 3}`), args("compilation_config", `{}`), ""},
		{"a key in place of an object", EngineVLLM, args("compilation_config", `{"mode": 3}`), args("compilation_config", "null", "compilation_config.mode", "2"), ""},
		{"trtllm", EngineTRTLLM, args("override_engine_args", `{"a": 1}`), args("trtllm.b", "1"), "spec.prefill.engineArgs.trtllm.b"},
	} {
		m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "m", Engine: tt.engine, Mode: ModeDisagg, EngineArgs: tt.model,
			Prefill: &RoleSpec{EngineArgs: tt.role}, Decode: &RoleSpec{}}}.WithDefaults()
		found := ValidateModel(m, ServerSpec{})
		if tt.at == "" && len(found) > 0 || tt.at != "" && (len(found) != 1 || found[0].Path != tt.at || found[0].Reason != ReasonInvalidArgument) {
			t.Errorf("%s: got %v, want a fault at %q", tt.name, found, tt.at)
		}
	}
}
