package state

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func text(s string) json.RawMessage { return json.RawMessage(s) }

func args(kv ...string) Args {
	var out Args
	for i := 0; i < len(kv); i += 2 {
		out = append(out, Arg{Key: kv[i], Value: text(kv[i+1])})
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// modelRow is a rule of ValidateModel: what edit makes of a valid Model has one fault,
// with that reason at that path; none without a reason.
type modelRow struct {
	name         string
	edit         func(*Model)
	reason, path string
}

func validateModels(t *testing.T, rows []modelRow) {
	t.Helper()
	server := DefaultedServer("default").Spec
	server.RuntimeEnv = args("uv", `["b"]`)
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "org/m"}}
			tt.edit(&m)
			expectOne(t, ValidateModel(m.WithDefaults(), server), tt.reason, tt.path)
		})
	}
}

// One row per rule of what a model is called, what it is, and in which mode it runs.
func TestValidateModelNames(t *testing.T) {
	validateModels(t, []modelRow{
		{"valid", func(*Model) {}, "", ""},
		{"valid disagg", func(m *Model) { m.Spec.Mode = ModeDisagg }, "", ""},
		{"bad name", func(m *Model) { m.Metadata.Name = "A" }, ReasonInvalidName, "metadata.name"},
		{"bad server name", func(m *Model) { m.Metadata.Server = "a.b" }, ReasonInvalidName, "metadata.server"},
		{"empty model", func(m *Model) { m.Spec.Model = "" }, ReasonEmptyModel, "spec.model"},
		{"empty slug", func(m *Model) { m.Spec.ServedName = "---" }, ReasonEmptySlug, "spec.servedName"},
		{"unknown engine", func(m *Model) { m.Spec.Engine = "vlm" }, ReasonUnknownEngine, "spec.engine"},
		{"unknown mode", func(m *Model) { m.Spec.Mode = "foo" }, ReasonUnknownMode, "spec.mode"},
		{"roles with aggregated", func(m *Model) { m.Spec.Prefill = &RoleSpec{} }, ReasonRolesWithoutDisagg, "spec.prefill"},
		{"half disagg", func(m *Model) { m.Spec.Mode, m.Spec.Decode = ModeDisagg, &RoleSpec{} }, ReasonHalfDisagg, "spec.decode"},
		{"empty role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Replicas: ptr(0)}, &RoleSpec{}
		}, ReasonEmptyRole, "spec.prefill.replicas"},
		{"replicas with disagg", func(m *Model) { m.Spec.Mode, m.Spec.Replicas = ModeDisagg, ptr(2) }, ReasonReplicasWithDisagg, "spec.replicas"},
		{"served name of several words", func(m *Model) { m.Spec.ServedName = "a b" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name with a comma", func(m *Model) { m.Spec.ServedName = "a,b" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name with a tab", func(m *Model) { m.Spec.ServedName = "a\tb" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name that looks like a flag", func(m *Model) { m.Spec.ServedName = "-a" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name that no file can have", func(m *Model) { m.Spec.ServedName = strings.Repeat("a", 141) }, ReasonInvalidServedName, "spec.servedName"},
		{"the longest served name", func(m *Model) { m.Spec.ServedName = strings.Repeat("a", 140) }, "", ""},
		{"path with a space and no served name", func(m *Model) { m.Spec.Model = "/models/my model" }, ReasonInvalidServedName, "spec.servedName"},
		{"path with a space and a served name", func(m *Model) { m.Spec.Model, m.Spec.ServedName = "/models/my model", "m" }, "", ""},
		{"model that looks like a flag", func(m *Model) { m.Spec.Model, m.Spec.ServedName = "--help", "m" }, ReasonInvalidModel, "spec.model"},
		{"NUL in the model", func(m *Model) { m.Spec.Model = "a\x00" }, ReasonInvalidModel, "spec.model"},
	})
}

// One row per rule of replicas, resources, placement, update and times.
func TestValidateModelCounts(t *testing.T) {
	validateModels(t, []modelRow{
		{"no replicas at all", func(m *Model) { m.Spec.Replicas = ptr(0) }, "", ""},
		{"negative replicas", func(m *Model) { m.Spec.Replicas = ptr(-1) }, ReasonNegativeCount, "spec.replicas"},
		{"as many as there may be", func(m *Model) { m.Spec.Replicas = ptr(MaxReplicas) }, "", ""},
		{"replicas without end", func(m *Model) { m.Spec.Replicas = ptr(math.MaxInt32) }, ReasonCountTooHigh, "spec.replicas"},
		{"a role without end", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{Replicas: ptr(MaxReplicas + 1)}
		}, ReasonCountTooHigh, "spec.decode.replicas"},
		{"GPUs that no product holds", func(m *Model) { m.Spec.Resources.GPUs = ptr(1 << 62) }, ReasonCountTooHigh, "spec.resources.gpus"},
		{"cpus without end", func(m *Model) { m.Spec.Resources.CPUs = ptr(1 << 17) }, ReasonCountTooHigh, "spec.resources.cpus"},
		{"surge without end", func(m *Model) { m.Spec.Update.MaxSurge = ptr(math.MaxInt) }, ReasonCountTooHigh, "spec.update.maxSurge"},
		{"unavailable without end", func(m *Model) { m.Spec.Update.MaxUnavailable = ptr(math.MaxInt) }, ReasonCountTooHigh, "spec.update.maxUnavailable"},
		{"negative role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{Replicas: ptr(-5)}
		}, ReasonNegativeCount, "spec.decode.replicas"},
		{"negative gpus", func(m *Model) { m.Spec.Resources.GPUs = ptr(-1) }, ReasonNegativeCount, "spec.resources.gpus"},
		{"no resources at all", func(m *Model) { m.Spec.Resources = ResourcesSpec{GPUs: ptr(0), CPUs: ptr(0)} }, ReasonNoResources, "spec.resources"},
		{"no GPUs", func(m *Model) { m.Spec.Resources.GPUs = ptr(0) }, "", ""},
		{"no CPUs beside GPUs", func(m *Model) { m.Spec.Resources.CPUs = ptr(0) }, "", ""},
		{"negative cpus", func(m *Model) { m.Spec.Resources.CPUs = ptr(-1) }, ReasonNegativeCount, "spec.resources.cpus"},
		{"waitForNodes in a model", func(m *Model) { m.Spec.Placement.WaitForNodes = True }, ReasonUnknownValue, "spec.placement.waitForNodes"},
		{"unknown update type", func(m *Model) { m.Spec.Update.Type = "Recreate" }, ReasonUnknownValue, "spec.update.type"},
		{"negative surge", func(m *Model) { m.Spec.Update.MaxSurge = ptr(-1) }, ReasonNegativeCount, "spec.update.maxSurge"},
		{"negative unavailable", func(m *Model) { m.Spec.Update.MaxUnavailable = ptr(-1) }, ReasonNegativeCount, "spec.update.maxUnavailable"},
		{"negative gpus of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Resources: ResourcesSpec{GPUs: ptr(-1)}}, &RoleSpec{}
		}, ReasonNegativeCount, "spec.prefill.resources.gpus"},
		{"no resources with a role's", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Resources: ResourcesSpec{GPUs: ptr(0)}}, &RoleSpec{}
			m.Spec.Resources.CPUs = ptr(0)
		}, ReasonNoResources, "spec.prefill.resources"},
		{"waitForNodes in a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Placement: PlacementSpec{WaitForNodes: True}}, &RoleSpec{}
		}, ReasonUnknownValue, "spec.prefill.placement.waitForNodes"},
		{"negative timeout", func(m *Model) { m.Spec.StartupTimeout = -1 }, ReasonNegativeCount, "spec.startupTimeout"},
		{"timeout without end", func(m *Model) { m.Spec.StartupTimeout = Duration(2_000_000 * time.Hour) }, ReasonCountTooHigh, "spec.startupTimeout"},
		{"grace period without end", func(m *Model) { m.Spec.TerminationGracePeriod = Duration(10_001 * time.Hour) }, ReasonCountTooHigh, "spec.terminationGracePeriod"},
		{"negative grace period", func(m *Model) { m.Spec.TerminationGracePeriod = -1 }, ReasonNegativeCount, "spec.terminationGracePeriod"},
	})
}

// One row per rule of the arguments of the engine and of Dynamo.
func TestValidateModelArgs(t *testing.T) {
	validateModels(t, []modelRow{
		{"parallel size of zero", func(m *Model) { m.Spec.EngineArgs = args("tensor_parallel_size", "0") }, ReasonBadParallelSize, "spec.engineArgs.tensor_parallel_size"},
		{"parallel size as text", func(m *Model) { m.Spec.EngineArgs = args("pipeline-parallel-size", `"2"`) }, ReasonBadParallelSize, "spec.engineArgs.pipeline-parallel-size"},
		{"parallel size of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Decode, m.Spec.Prefill = ModeDisagg, &RoleSpec{EngineArgs: args("tensor_parallel_size", "1.5")}, &RoleSpec{}
		}, ReasonBadParallelSize, "spec.decode.engineArgs.tensor_parallel_size"},
		{"data parallel over nodes", func(m *Model) {
			m.Spec.EngineArgs = args("data_parallel_size", "4", "data_parallel_size_local", "2")
		}, ReasonDataParallelNodes, "spec.engineArgs.data_parallel_size_local"},
		{"managed flag", func(m *Model) { m.Spec.EngineArgs = args("served_model_name", `"x"`) }, ReasonManagedFlag, "spec.engineArgs.served_model_name"},
		{"managed flag in dynamoArgs", func(m *Model) { m.Spec.DynamoArgs = args("endpoint", `"x"`) }, ReasonManagedFlag, "spec.dynamoArgs.endpoint"},
		{"managed flag of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{EngineArgs: args("headless", "true")}, &RoleSpec{}
		}, ReasonManagedFlag, "spec.prefill.engineArgs.headless"},
		{"key with the dashes of a flag", func(m *Model) { m.Spec.EngineArgs = args("--max-model-len", "8192") }, ReasonInvalidArgument, "spec.engineArgs.--max-model-len"},
		{"key with one dash", func(m *Model) { m.Spec.DynamoArgs = args("-O3", "true") }, ReasonInvalidArgument, "spec.dynamoArgs.-O3"},
		{"key that holds the value", func(m *Model) { m.Spec.EngineArgs = args("max_model_len=8192", "true") }, ReasonInvalidArgument, "spec.engineArgs.max_model_len=8192"},
		{"key that holds a space", func(m *Model) { m.Spec.EngineArgs = args("max_model_len 8192", "true") }, ReasonInvalidArgument, "spec.engineArgs.max_model_len 8192"},
		{"key without a name", func(m *Model) { m.Spec.EngineArgs = args("", "8192") }, ReasonInvalidArgument, "spec.engineArgs"},
		{"key of dashes alone", func(m *Model) { m.Spec.DynamoArgs = args("--", "8192") }, ReasonInvalidArgument, "spec.dynamoArgs"},
		{"dashes before a managed flag", func(m *Model) { m.Spec.EngineArgs = args("--served-model-name", `"x"`) }, ReasonManagedFlag, "spec.engineArgs.--served-model-name"},
		{"null leaves a key out", func(m *Model) { m.Spec.EngineArgs = args("quantization", "null", "tensor_parallel_size", "null") }, "", ""},
		{"the Ray executor", func(m *Model) { m.Spec.EngineArgs = args("distributed_executor_backend", `"ray"`) }, ReasonRayExecutor, "spec.engineArgs.distributed_executor_backend"},
		{"the Ray executor, abbreviated", func(m *Model) { m.Spec.DynamoArgs = args("distributed-exec", `"ray"`) }, ReasonRayExecutor, "spec.dynamoArgs.distributed-exec"},
		{"another executor", func(m *Model) { m.Spec.EngineArgs = args("distributed_executor_backend", `"mp"`) }, "", ""},
		{"data parallel ranks through Ray", func(m *Model) { m.Spec.EngineArgs = args("data_parallel_backend", `"ray"`) }, ReasonRayExecutor, "spec.engineArgs.data_parallel_backend"},
		{"a rank of another node", func(m *Model) { m.Spec.EngineArgs = args("data_parallel_start_rank", "8") }, ReasonDataParallelNodes, "spec.engineArgs.data_parallel_start_rank"},
		{"ranks behind one address", func(m *Model) { m.Spec.EngineArgs = args("data-parallel-address", `"10.0.0.1"`) }, ReasonDataParallelNodes, "spec.engineArgs.data-parallel-address"},
		{"hybrid balancing of ranks", func(m *Model) { m.Spec.EngineArgs = args("data_parallel_hybrid_lb", "true") }, ReasonDataParallelNodes, "spec.engineArgs.data_parallel_hybrid_lb"},
		{"the size of another engine", func(m *Model) { m.Spec.EngineArgs = args("tp_size", "8") }, ReasonBadParallelSize, "spec.engineArgs.tp_size"},
		{"vllm has no --connector", func(m *Model) { m.Spec.DynamoArgs = args("connector", `"kvbm"`) }, ReasonManagedFlag, "spec.dynamoArgs.connector"},
		{"KV events of trtllm by its flag", func(m *Model) { m.Spec.Engine, m.Spec.EngineArgs = EngineTRTLLM, args("no_publish_kv_events", "true") }, ReasonManagedFlag, "spec.engineArgs.no_publish_kv_events"},
		{"a role of the mocker by its flag", func(m *Model) { m.Spec.Engine, m.Spec.DynamoArgs = EngineMocker, args("is_prefill_worker", "true") }, ReasonManagedFlag, "spec.dynamoArgs.is_prefill_worker"},
		{"trtllm has one", func(m *Model) { m.Spec.Engine, m.Spec.DynamoArgs = EngineTRTLLM, args("connector", `"kvbm"`) }, "", ""},
		{"managed flag in the dynamoArgs of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{DynamoArgs: args("endpoint", `"x"`)}
		}, ReasonManagedFlag, "spec.decode.dynamoArgs.endpoint"},
	})
}

// One row per rule of variables and runtime environments.
func TestValidateModelEnv(t *testing.T) {
	validateModels(t, []modelRow{
		{"managed variable", func(m *Model) { m.Spec.Env = Env{"DYN_SYSTEM_PORT": {Value: "1"}} }, ReasonManagedEnv, "spec.env.DYN_SYSTEM_PORT"},
		{"not a variable", func(m *Model) { m.Spec.Env = Env{"A=B": {}} }, ReasonInvalidEnv, "spec.env.A=B"},
		{"NUL in a variable", func(m *Model) { m.Spec.Env = Env{"A": {Value: "\x00"}} }, ReasonInvalidEnv, "spec.env.A"},
		{"a variable that Linux does not take", func(m *Model) { m.Spec.Env = Env{"A": {Value: strings.Repeat("x", 128<<10)}} }, ReasonInvalidEnv, "spec.env.A"},
		{"the longest variable", func(m *Model) { m.Spec.Env = Env{"A": {Value: strings.Repeat("x", 128<<10-3)}} }, "", ""},
		{"a word that Linux does not take", func(m *Model) { m.Spec.EngineArgs = args("chat_template", `"`+strings.Repeat("x", 128<<10)+`"`) }, ReasonInvalidArgument, "spec.engineArgs.chat_template"},
		{"a number in runtimeEnv", func(m *Model) { m.Spec.RuntimeEnv = args("env_vars", `{"A": 1}`) }, ReasonInvalidEnv, "spec.runtimeEnv.env_vars.A"},
		{"a list in runtimeEnv", func(m *Model) { m.Spec.RuntimeEnv = args("env_vars", `["A=1"]`) }, ReasonInvalidEnv, "spec.runtimeEnv.env_vars"},
		{"text in runtimeEnv", func(m *Model) { m.Spec.RuntimeEnv = args("env_vars", `{"A": "1"}`) }, "", ""},
		{"pip with the server's uv", func(m *Model) { m.Spec.RuntimeEnv = args("pip", `["a"]`) }, ReasonPipAndUV, "spec.runtimeEnv"},
		{"managed variable of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Env: Env{"PYTHONHASHSEED": {Value: "7"}}}, &RoleSpec{}
		}, ReasonManagedEnv, "spec.prefill.env.PYTHONHASHSEED"},
		{"managed variable in runtimeEnv", func(m *Model) { m.Spec.RuntimeEnv = args("env_vars", `{"CUDA_VISIBLE_DEVICES": "0"}`) }, ReasonManagedEnv, "spec.runtimeEnv.env_vars.CUDA_VISIBLE_DEVICES"},
	})
}

// One row per rule of router modes, KV events and KV transfer.
func TestValidateModelRouting(t *testing.T) {
	validateModels(t, []modelRow{
		{"unknown router mode", func(m *Model) { m.Spec.Router.Mode = "auto" }, ReasonUnknownRouterMode, "spec.router.mode"},
		{"either spelling of a router mode", func(m *Model) { m.Spec.Router.Mode = "power_of_two" }, "", ""},
		{"kvEvents without kv", func(m *Model) { m.Spec.Router = ModelRouter{Mode: "random", KVEvents: True} }, ReasonKVEventsWithoutKV, "spec.router.kvEvents"},
		{"a connector of aggregated vllm", func(m *Model) { m.Spec.KVTransferConfig = args("kv_connector", `"LMCacheConnectorV1"`) }, "", ""},
		{"a connector of sglang", func(m *Model) { m.Spec.Engine, m.Spec.KVTransferConfig = EngineSGLang, args("kv_connector", `"x"`) }, ReasonNotForEngine, "spec.kvTransferConfig"},
		{"a connector of trtllm's role", func(m *Model) {
			m.Spec.Engine, m.Spec.Mode = EngineTRTLLM, ModeDisagg
			m.Spec.Prefill, m.Spec.Decode = &RoleSpec{KVTransferConfig: args("a", "1")}, &RoleSpec{}
		}, ReasonNotForEngine, "spec.prefill.kvTransferConfig"},
		{"a connector of the mocker", func(m *Model) { m.Spec.Engine, m.Spec.KVTransferConfig = EngineMocker, args("a", "1") }, ReasonNotForEngine, "spec.kvTransferConfig"},
		{"KV events of aggregated sglang", func(m *Model) { m.Spec.Engine, m.Spec.KVEventsConfig = EngineSGLang, args("buffer_steps", "1") }, "", ""},
		{"KV events of trtllm", func(m *Model) { m.Spec.Engine, m.Spec.KVEventsConfig = EngineTRTLLM, args("buffer_steps", "1") }, ReasonNotForEngine, "spec.kvEventsConfig"},
		{"KV events of the mocker", func(m *Model) { m.Spec.Engine, m.Spec.KVEventsConfig = EngineMocker, args("buffer_steps", "1") }, ReasonNotForEngine, "spec.kvEventsConfig"},
		{"KV events of decode", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{KVEventsConfig: args("buffer_steps", "1")}
		}, ReasonNotForEngine, "spec.decode.kvEventsConfig"},
	})
}

func expectOne(t *testing.T, got []*Invalid, reason, path string) {
	t.Helper()
	if reason == "" {
		if len(got) > 0 {
			t.Errorf("got %v, want none", got[0])
		}
		return
	}
	if len(got) != 1 {
		t.Fatalf("got %d faults, want one: %v", len(got), got)
	}
	if got[0].Reason != reason || got[0].Path != path {
		t.Errorf("got %s at %q, want %s at %q", got[0].Reason, got[0].Path, reason, path)
	}
	if ReasonText(got[0].Reason) == "" || got[0].Message == "" {
		t.Errorf("%s explains nothing", got[0].Reason)
	}
}

// Each reason is CamelCase and explains itself in one sentence.
func TestReasons(t *testing.T) {
	camel := regexp.MustCompile(`^([A-Z][A-Za-z]+)+$`)
	if len(Reasons()) < 30 {
		t.Errorf("only %d reasons", len(Reasons()))
	}
	for _, reason := range Reasons() {
		if text := ReasonText(reason); !camel.MatchString(reason) || !strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q", reason, text)
		}
	}
	if ReasonText("Nothing") != "" {
		t.Error("a reason that is not ours is explained")
	}
}
