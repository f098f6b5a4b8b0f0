package state

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
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

// One row per rule of ValidateModel.
func TestValidateModel(t *testing.T) {
	tests := []struct {
		name         string
		edit         func(*Model)
		reason, path string
	}{
		{"valid", func(*Model) {}, "", ""},
		{"valid disagg", func(m *Model) { m.Spec.Mode = ModeDisagg }, "", ""},
		{"no replicas at all", func(m *Model) { m.Spec.Replicas = ptr(0) }, "", ""},
		{"bad name", func(m *Model) { m.Metadata.Name = "A" }, ReasonInvalidName, "metadata.name"},
		{"bad server name", func(m *Model) { m.Metadata.Server = "a.b" }, ReasonInvalidName, "metadata.server"},
		{"empty model", func(m *Model) { m.Spec.Model = "" }, ReasonEmptyModel, "spec.model"},
		{"empty slug", func(m *Model) { m.Spec.ServedName = "---" }, ReasonEmptySlug, "spec.servedName"},
		{"unknown engine", func(m *Model) { m.Spec.Engine = "vlm" }, ReasonUnknownEngine, "spec.engine"},
		{"unknown mode", func(m *Model) { m.Spec.Mode = "foo" }, ReasonUnknownMode, "spec.mode"},
		{"negative replicas", func(m *Model) { m.Spec.Replicas = ptr(-1) }, ReasonNegativeCount, "spec.replicas"},
		{"roles with aggregated", func(m *Model) { m.Spec.Prefill = &RoleSpec{} }, ReasonRolesWithoutDisagg, "spec.prefill"},
		{"half disagg", func(m *Model) { m.Spec.Mode, m.Spec.Decode = ModeDisagg, &RoleSpec{} }, ReasonHalfDisagg, "spec.decode"},
		{"empty role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Replicas: ptr(0)}, &RoleSpec{}
		}, ReasonEmptyRole, "spec.prefill.replicas"},
		{"negative role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{Replicas: ptr(-5)}
		}, ReasonNegativeCount, "spec.decode.replicas"},
		{"replicas with disagg", func(m *Model) { m.Spec.Mode, m.Spec.Replicas = ModeDisagg, ptr(2) }, ReasonReplicasWithDisagg, "spec.replicas"},
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
		{"unknown router mode", func(m *Model) { m.Spec.Router.Mode = "auto" }, ReasonUnknownRouterMode, "spec.router.mode"},
		{"either spelling of a router mode", func(m *Model) { m.Spec.Router.Mode = "power_of_two" }, "", ""},
		{"kvEvents without kv", func(m *Model) { m.Spec.Router = ModelRouter{Mode: "random", KVEvents: True} }, ReasonKVEventsWithoutKV, "spec.router.kvEvents"},
		{"managed variable", func(m *Model) { m.Spec.Env = Env{"DYN_SYSTEM_PORT": {Value: "1"}} }, ReasonManagedEnv, "spec.env.DYN_SYSTEM_PORT"},
		{"not a variable", func(m *Model) { m.Spec.Env = Env{"A=B": {}} }, ReasonInvalidEnv, "spec.env.A=B"},
		{"NUL in a variable", func(m *Model) { m.Spec.Env = Env{"A": {Value: "\x00"}} }, ReasonInvalidEnv, "spec.env.A"},
		{"pip with the server's uv", func(m *Model) { m.Spec.RuntimeEnv = args("pip", `["a"]`) }, ReasonPipAndUV, "spec.runtimeEnv"},
		{"negative gpus", func(m *Model) { m.Spec.Resources.GPUs = ptr(-1) }, ReasonNegativeCount, "spec.resources.gpus"},
		{"no resources at all", func(m *Model) { m.Spec.Resources = ResourcesSpec{GPUs: ptr(0), CPUs: ptr(0)} }, ReasonNoResources, "spec.resources"},
		{"no GPUs", func(m *Model) { m.Spec.Resources.GPUs = ptr(0) }, "", ""},
		{"no CPUs beside GPUs", func(m *Model) { m.Spec.Resources.CPUs = ptr(0) }, "", ""},
		{"negative cpus", func(m *Model) { m.Spec.Resources.CPUs = ptr(-1) }, ReasonNegativeCount, "spec.resources.cpus"},
		{"waitForNodes in a model", func(m *Model) { m.Spec.Placement.WaitForNodes = True }, ReasonUnknownValue, "spec.placement.waitForNodes"},
		{"unknown update type", func(m *Model) { m.Spec.Update.Type = "Recreate" }, ReasonUnknownValue, "spec.update.type"},
		{"negative surge", func(m *Model) { m.Spec.Update.MaxSurge = ptr(-1) }, ReasonNegativeCount, "spec.update.maxSurge"},
		{"negative unavailable", func(m *Model) { m.Spec.Update.MaxUnavailable = ptr(-1) }, ReasonNegativeCount, "spec.update.maxUnavailable"},
		{"served name of several words", func(m *Model) { m.Spec.ServedName = "a b" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name with a comma", func(m *Model) { m.Spec.ServedName = "a,b" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name with a tab", func(m *Model) { m.Spec.ServedName = "a\tb" }, ReasonInvalidServedName, "spec.servedName"},
		{"served name that looks like a flag", func(m *Model) { m.Spec.ServedName = "-a" }, ReasonInvalidServedName, "spec.servedName"},
		{"path with a space and no served name", func(m *Model) { m.Spec.Model = "/models/my model" }, ReasonInvalidServedName, "spec.servedName"},
		{"path with a space and a served name", func(m *Model) { m.Spec.Model, m.Spec.ServedName = "/models/my model", "m" }, "", ""},
		{"model that looks like a flag", func(m *Model) { m.Spec.Model, m.Spec.ServedName = "--help", "m" }, ReasonInvalidModel, "spec.model"},
		{"NUL in the model", func(m *Model) { m.Spec.Model = "a\x00" }, ReasonInvalidModel, "spec.model"},
		{"key with the dashes of a flag", func(m *Model) { m.Spec.EngineArgs = args("--max-model-len", "8192") }, ReasonInvalidArgument, "spec.engineArgs.--max-model-len"},
		{"key with one dash", func(m *Model) { m.Spec.DynamoArgs = args("-O3", "true") }, ReasonInvalidArgument, "spec.dynamoArgs.-O3"},
		{"key that holds the value", func(m *Model) { m.Spec.EngineArgs = args("max_model_len=8192", "true") }, ReasonInvalidArgument, "spec.engineArgs.max_model_len=8192"},
		{"key that holds a space", func(m *Model) { m.Spec.EngineArgs = args("max_model_len 8192", "true") }, ReasonInvalidArgument, "spec.engineArgs.max_model_len 8192"},
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
		{"managed variable of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{Env: Env{"PYTHONHASHSEED": {Value: "7"}}}, &RoleSpec{}
		}, ReasonManagedEnv, "spec.prefill.env.PYTHONHASHSEED"},
		{"managed variable in runtimeEnv", func(m *Model) { m.Spec.RuntimeEnv = args("env_vars", `{"CUDA_VISIBLE_DEVICES": "0"}`) }, ReasonManagedEnv, "spec.runtimeEnv.env_vars.CUDA_VISIBLE_DEVICES"},
		{"managed flag in the dynamoArgs of a role", func(m *Model) {
			m.Spec.Mode, m.Spec.Prefill, m.Spec.Decode = ModeDisagg, &RoleSpec{}, &RoleSpec{DynamoArgs: args("endpoint", `"x"`)}
		}, ReasonManagedFlag, "spec.decode.dynamoArgs.endpoint"},
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
		{"negative grace period", func(m *Model) { m.Spec.TerminationGracePeriod = -1 }, ReasonNegativeCount, "spec.terminationGracePeriod"},
	}
	server := DefaultedServer("default").Spec
	server.RuntimeEnv = args("uv", `["b"]`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "org/m"}}
			tt.edit(&m)
			expectOne(t, ValidateModel(m.WithDefaults(), server), tt.reason, tt.path)
		})
	}
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

// One row per rule of ValidateServer.
func TestValidateServer(t *testing.T) {
	tests := []struct {
		name         string
		edit         func(*Server)
		reason, path string
	}{
		{"valid", func(*Server) {}, "", ""},
		{"external etcd and NATS", func(s *Server) {
			s.Spec.Etcd.Endpoint, s.Spec.NATS.URL = "http://a:2379,http://b:2379", "10.0.0.1:4222"
		}, "", ""},
		{"bad name", func(s *Server) { s.Metadata.Name = "a.b" }, ReasonInvalidName, "metadata.name"},
		{"server of a server", func(s *Server) { s.Metadata.Server = "a" }, ReasonInvalidName, "metadata.server"},
		{"dotted namespace", func(s *Server) { s.Spec.DynamoNamespace = "a.b" }, ReasonInvalidNamespace, "spec.dynamoNamespace"},
		{"unknown request plane", func(s *Server) { s.Spec.RequestPlane = "zmq" }, ReasonUnknownPlane, "spec.requestPlane"},
		{"unknown event plane", func(s *Server) { s.Spec.EventPlane = "tcp" }, ReasonUnknownPlane, "spec.eventPlane"},
		{"not an address", func(s *Server) { s.Spec.Etcd.Endpoint = "http://" }, ReasonInvalidAddress, "spec.etcd.endpoint"},
		{"not a NATS URL", func(s *Server) { s.Spec.NATS.URL = "nats://a b" }, ReasonInvalidAddress, "spec.nats.url"},
		{"not a port", func(s *Server) { s.Spec.Frontend.Port = 70000 }, ReasonInvalidAddress, "spec.frontend.port"},
		{"managed flag of the frontend", func(s *Server) { s.Spec.Frontend.Args = args("http_port", "1") }, ReasonManagedFlag, "spec.frontend.args.http_port"},
		{"router mode in router.args", func(s *Server) { s.Spec.Router.Args = args("router_mode", `"kv"`) }, ReasonReservedRouterArgs, "spec.router.args.router_mode"},
		{"router KV events in router.args", func(s *Server) { s.Spec.Router.Args = args("no-router-kv-events", "true") }, ReasonReservedRouterArgs, "spec.router.args.no-router-kv-events"},
		{"managed flag in router.args", func(s *Server) { s.Spec.Router.Args = args("http_port", "9000") }, ReasonManagedFlag, "spec.router.args.http_port"},
		{"dashes in router.args", func(s *Server) { s.Spec.Router.Args = args("--router-temperature", "1") }, ReasonInvalidArgument, "spec.router.args.--router-temperature"},
		{"dashes in frontend.args", func(s *Server) { s.Spec.Frontend.Args = args("--tls-cert-path", `"x"`) }, ReasonInvalidArgument, "spec.frontend.args.--tls-cert-path"},
		{"managed variable", func(s *Server) { s.Spec.Env = Env{"NATS_SERVER": {Value: "nats://x"}} }, ReasonManagedEnv, "spec.env.NATS_SERVER"},
		{"managed variable in runtimeEnv", func(s *Server) { s.Spec.RuntimeEnv = args("env_vars", `{"DYN_NAMESPACE": "x"}`) }, ReasonManagedEnv, "spec.runtimeEnv.env_vars.DYN_NAMESPACE"},
		{"other router.args", func(s *Server) { s.Spec.Router.Args = args("router_temperature", "0.1") }, "", ""},
		{"unknown router mode", func(s *Server) { s.Spec.Router.Mode = "inherit" }, ReasonUnknownRouterMode, "spec.router.mode"},
		{"kvEvents under auto", func(s *Server) { s.Spec.Router.KVEvents = True }, "", ""},
		{"kvEvents without kv", func(s *Server) { s.Spec.Router = ServerRouter{Mode: "random", KVEvents: True} }, ReasonKVEventsWithoutKV, "spec.router.kvEvents"},
		{"load-aware beside another mode", func(s *Server) { s.Spec.Router.Mode = "random"; s.Spec.Router.Args = args("load_aware", "true") }, ReasonInvalidArgument, "spec.router.args.load_aware"},
		{"load-aware beside KV events", func(s *Server) {
			s.Spec.Router = ServerRouter{Mode: "kv", KVEvents: True}
			s.Spec.Frontend.Args = args("load-aware", "true")
		}, ReasonInvalidArgument, "spec.frontend.args.load-aware"},
		{"load-aware beside kv", func(s *Server) { s.Spec.Router.Mode = "kv"; s.Spec.Router.Args = args("load_aware", "true") }, "", ""},
		{"load-aware by a variable", func(s *Server) { s.Spec.Env = Env{"DYN_ROUTER_LOAD_AWARE": {Value: "1"}} }, ReasonManagedEnv, "spec.env.DYN_ROUTER_LOAD_AWARE"},
		{"unknown apply", func(s *Server) { s.Spec.Router.Apply = "all" }, ReasonUnknownValue, "spec.router.apply"},
		{"managed variable", func(s *Server) { s.Spec.Env = Env{"DYN_REQUEST_PLANE": {}} }, ReasonManagedEnv, "spec.env.DYN_REQUEST_PLANE"},
		{"pip and uv", func(s *Server) { s.Spec.RuntimeEnv = args("pip", `[]`, "uv", `[]`) }, ReasonPipAndUV, "spec.runtimeEnv"},
		{"pip and no uv", func(s *Server) { s.Spec.RuntimeEnv = args("pip", `[]`, "uv", `null`) }, "", ""},
		{"negative backoff", func(s *Server) { s.Spec.Healing.Backoff.Initial = -1 }, ReasonNegativeCount, "spec.healing.backoff.initial"},
		{"max below initial", func(s *Server) { s.Spec.Healing.Backoff.Max = 1 }, ReasonNegativeCount, "spec.healing.backoff.max"},
		{"shrinking backoff", func(s *Server) { s.Spec.Healing.Backoff.Multiplier = 0.5 }, ReasonNegativeCount, "spec.healing.backoff.multiplier"},
		{"jitter above one", func(s *Server) { s.Spec.Healing.Backoff.Jitter = ptr(1.1) }, ReasonNegativeCount, "spec.healing.backoff.jitter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Server{Metadata: Metadata{Name: "s"}}
			tt.edit(&s)
			expectOne(t, ValidateServer(s.WithDefaults()), tt.reason, tt.path)
		})
	}
}

func TestDialable(t *testing.T) {
	for _, good := range []string{"http://a:2379", "a:1", "a", "nats://user:p@ss@10.0.0.1:4222", "http://[::1]:2379/", "[::1]"} {
		if !dialable(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "http://", ":2379", "a:b", "a:0", "a:70000", "a b", "http://[]:1", "/a"} {
		if dialable(bad) {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestManagedFlag(t *testing.T) {
	managed := []string{
		"served_model_name", "served-model-name", "served", "endpoint", "e", "no_router_kv_events", "router_m", "model",
		"mod", "kv_events", "no-kv-events", "kv_transfer_config", "kv_transfer_config.kv_role", "model=x", "", "namespace_prefix", "nnodes", "load_aware",
	}
	free := []string{
		"tensor_parallel_size", "max_model_len", "model_impl", "enforce_eager", "kv_cache_dtype", "router_temperature",
		"Model", "disable_hybrid_kv_cache_manager", "no_enable_prefix_caching", "cc.json",
	}
	for _, key := range managed {
		if _, ok := managedFlag(key, workerFlags); !ok {
			t.Errorf("%q passes", key)
		}
	}
	for _, key := range free {
		if flag, ok := managedFlag(key, workerFlags); ok {
			t.Errorf("%q counts as %s", key, flag.name)
		}
	}
}

func TestManagedVariables(t *testing.T) {
	managed := []string{
		"DYN_ROUTER_MODE", "DYN_NAMESPACE", "DYN_NAMESPACE_PREFIX", "DYN_ENDPOINT", "DYN_DISCOVERY_BACKEND",
		"DYN_REQUEST_PLANE", "DYN_EVENT_PLANE", "DYN_SYSTEM_PORT", "DYN_CONNECTOR",
		"ETCD_ENDPOINTS", "NATS_SERVER", "CUDA_VISIBLE_DEVICES", "VLLM_NIXL_SIDE_CHANNEL_PORT", "PYTHONHASHSEED",
		"DYN_ROUTER_USE_KV_EVENTS", "DYN_VLLM_HEADLESS", "DYN_TRTLLM_TENSOR_PARALLEL_SIZE", "DYN_TRTLLM_EXTRA_ENGINE_ARGS",
	}
	free := []string{"DYN_LOG", "DYN_ENDPOINTS", "ETCD_AUTH_USERNAME", "DYN_PLANE", "HF_TOKEN", "DYN_SYSTEM", "FLASHINFER_WORKSPACE_BASE", "VLLM_NIXL_SIDE_CHANNEL_HOST"}
	env := Env{}
	for _, name := range append(managed, free...) {
		env[name] = EnvValue{}
	}
	var f faults
	f.env("spec.env", env)
	found := map[string]bool{}
	for _, invalid := range f {
		found[strings.TrimPrefix(invalid.Path, "spec.env.")] = true
	}
	for _, name := range managed {
		if !found[name] {
			t.Errorf("%s passes", name)
		}
	}
	for _, name := range free {
		if found[name] {
			t.Errorf("%s is refused", name)
		}
	}
}

func TestConflictModels(t *testing.T) {
	named := func(name, served, mode string) Model {
		return Model{Metadata: Metadata{Name: name}, Spec: ModelSpec{Model: served, Mode: mode}}.WithDefaults()
	}
	elsewhere := named("b", "x", "")
	elsewhere.Metadata.Server = "other"
	tests := []struct {
		name   string
		m, o   Model
		reason string
	}{
		{"itself", named("a", "x", ""), named("a", "x", ""), ""},
		{"another server", named("a", "x", ""), elsewhere, ""},
		{"served name", named("a", "x", ""), named("b", "x", ""), ReasonDuplicateServedName},
		{"slug", named("a", "x.1", ""), named("b", "x-1", ""), ReasonSlugConflict},
		{"endpoint of decode", named("a", "m", ModeDisagg), named("b", "m-decode", ""), ReasonEndpointConflict},
		{"endpoint of prefill", named("a", "m-prefill", ""), named("b", "m", ModeDisagg), ReasonEndpointConflict},
		{"no endpoint of a role", named("a", "m", ""), named("b", "m-decode", ""), ""},
		// FIX: the actor label is made from the slug, not from what follows the last "/".
		{"actor label", named("a", "x/foo", ""), named("b", "y/foo", ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reason := ""
			if invalid := ConflictModels(tt.m, []Model{tt.o}); invalid != nil {
				reason = invalid.Reason
			}
			if reason != tt.reason {
				t.Errorf("got %q, want %q", reason, tt.reason)
			}
		})
	}
}

func TestConflictServers(t *testing.T) {
	named := func(name, etcd, namespace string) Server {
		s := DefaultedServer(name)
		s.Spec.Etcd.Endpoint, s.Spec.DynamoNamespace = etcd, namespace
		return s
	}
	const etcd = "http://e:2379"
	tests := []struct {
		name     string
		s, o     Server
		conflict bool
	}{
		{"managed etcds", named("a", "", "x"), named("b", "", "x"), false},
		{"itself", named("a", etcd, "x"), named("a", etcd, "x"), false},
		{"equal", named("a", etcd, "x"), named("b", etcd, "x"), true},
		{"a prefix", named("a", etcd, "x"), named("b", etcd, "x-y"), true},
		{"the other's prefix", named("a", etcd, "x-y"), named("b", etcd, "x"), true},
		{"a prefix without the dash", named("a", etcd, "x"), named("b", etcd, "xy"), false},
		{"another etcd", named("a", etcd, "x"), named("b", "http://f:2379", "x"), false},
		{"one of several endpoints", named("a", "http://d:2379, "+etcd+"/", "x"), named("b", "E:2379", "x"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if invalid := ConflictServers(tt.s, []Server{tt.o}); (invalid != nil) != tt.conflict {
				t.Errorf("got %v", invalid)
			}
		})
	}
}

func TestCheckMove(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Server)
		path string
	}{
		{"nothing", func(*Server) {}, ""},
		{"the frontend", func(s *Server) { s.Spec.Frontend.Port = 9000 }, ""},
		{"namespace", func(s *Server) { s.Spec.DynamoNamespace = "y" }, "spec.dynamoNamespace"},
		{"etcd", func(s *Server) { s.Spec.Etcd.Endpoint = "http://e:1" }, "spec.etcd.endpoint"},
		{"NATS", func(s *Server) { s.Spec.NATS.URL = "nats://n:1" }, "spec.nats.url"},
		{"head node", func(s *Server) { s.Spec.Placement.ExcludeHeadNode = ptr(true) }, "spec.placement.excludeHeadNode"},
		{"node selector", func(s *Server) { s.Spec.Placement.NodeSelector = map[string]string{"a": "b"} }, "spec.placement.nodeSelector"},
		{"allowed", func(s *Server) {
			s.Spec.DynamoNamespace = "y"
			s.Metadata.Annotations = map[string]string{RecreateAnnotation: "7"}
		}, ""},
		{"allowed for another revision", func(s *Server) {
			s.Spec.DynamoNamespace = "y"
			s.Metadata.Annotations = map[string]string{RecreateAnnotation: "6"}
		}, "spec.dynamoNamespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := DefaultedServer("s")
			tt.edit(&now)
			path := ""
			if invalid := CheckMove(DefaultedServer("s"), now, 7); invalid != nil {
				path = invalid.Path
				if !strings.Contains(invalid.Message, `dynctl/recreate: "7"`) {
					t.Errorf("no way out: %s", invalid.Message)
				}
			}
			if path != tt.path {
				t.Errorf("got %q, want %q", path, tt.path)
			}
		})
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		name          string
		server, model bool
	}{
		{"a", true, true}, {"a-b", true, true}, {"a.b", false, true}, {"a_b", false, true}, {"0", true, true}, {long, true, true},
		{"", false, false}, {"-a", false, false}, {"a-", false, false}, {"A", false, false}, {"a b", false, false}, {long + "a", false, false}, {"ä", false, false}, {"a..b", false, true},
	}
	for _, tt := range tests {
		if ValidServerName(tt.name) != tt.server || ValidModelName(tt.name) != tt.model {
			t.Errorf("%q: server %t, model %t", tt.name, !tt.server, !tt.model)
		}
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
