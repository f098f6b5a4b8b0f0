package state

import (
	"strings"
	"testing"
)

// contractFlags are the managed flags of the specification of specs, word by word.
const contractFlags = "served-model-name endpoint discovery-backend request-plane event-plane router-mode router-kv-events " +
	"kv-events-config kv-events kv-transfer-config disaggregation-mode headless nnodes node-rank master-addr master-port " +
	"dist-init-addr http-port namespace namespace-prefix model model-path model-name load-aware"

// Every managed flag is refused in each spelling and abbreviation by which a parser
// would take it, in each field of arguments of a model.
func TestManagedFlagsInEverySpelling(t *testing.T) {
	for flag := range strings.FieldsSeq(contractFlags) {
		var keys []string
		for n := 1; n <= len(flag); n++ {
			keys = append(keys, flag[:n], strings.ReplaceAll(flag[:n], "-", "_"), "no-"+flag[:n], "no_"+flag[:n])
		}
		keys = append(keys, "--"+flag, flag+"=x", flag+".x")
		for _, key := range keys {
			for field, put := range map[string]func(*ModelSpec, Args){
				"spec.engineArgs":         func(m *ModelSpec, a Args) { m.EngineArgs = a },
				"spec.dynamoArgs":         func(m *ModelSpec, a Args) { m.DynamoArgs = a },
				"spec.prefill.engineArgs": func(m *ModelSpec, a Args) { m.Prefill.EngineArgs = a },
				"spec.decode.dynamoArgs":  func(m *ModelSpec, a Args) { m.Decode.DynamoArgs = a },
			} {
				m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "org/m", Mode: ModeDisagg}}.WithDefaults()
				put(&m.Spec, args(key, `"x"`))
				bad := ValidateModel(m, DefaultedServer("default").Spec)
				if len(bad) == 0 || bad[0].Reason != ReasonManagedFlag || bad[0].Path != field+"."+key {
					t.Errorf("%s.%s: got %v, want %s", field, key, bad, ReasonManagedFlag)
				}
			}
		}
	}
}

func TestManagedFlag(t *testing.T) {
	managed := []string{
		"served_model_name", "served-model-name", "served", "endpoint", "e", "no_router_kv_events", "router_m", "model",
		"mod", "kv_events", "no-kv-events", "kv_transfer_config", "kv_transfer_config.kv_role", "model=x", "namespace_prefix", "nnodes", "load_aware",
	}
	free := []string{
		"tensor_parallel_size", "max_model_len", "model_impl", "enforce_eager", "kv_cache_dtype", "router_temperature",
		"Model", "disable_hybrid_kv_cache_manager", "no_enable_prefix_caching", "cc.json", "", "--", "no-",
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
