package offline

import (
	"slices"
	"strings"
	"testing"

	"dynctl/state"
)

// offline renders documents on two nodes of 8 GPUs, one of them with a label.
func offline(t *testing.T, yaml string) Rendered {
	t.Helper()
	docs, err := state.Decode("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"ray.io/node-type": "worker"}
	other := map[string]string{"ray.io/node-type": "worker", "zone": "b"}
	return Render(Input{Docs: docs, Nodes: []state.Node{
		{ID: "n0", IP: "10.0.0.1", GPUs: 8, CPUs: 64, Alive: true, Labels: labels},
		{ID: "n1", IP: "10.0.0.2", GPUs: 8, CPUs: 64, Alive: true, Labels: other},
	}})
}

// worker is the actor of a role; "" is an aggregated worker.
func (r Rendered) worker(t *testing.T, role string) RenderedActor {
	t.Helper()
	if len(r.Rejected) > 0 {
		t.Fatal(r.Rejected[0].Message)
	}
	for _, a := range r.Actors {
		if strings.Contains(a.Name, "_Dynamo_"+role) && strings.Contains(a.Name, "DP0") {
			return a
		}
	}
	t.Fatalf("no worker of role %q is rendered: %+v", role, r.Pending)
	return RenderedActor{}
}

// after is the word that follows a flag; "" where the flag is missing.
func (a RenderedActor) after(flag string) string {
	i := slices.Index(a.Argv, flag)
	if i < 0 || i+1 == len(a.Argv) {
		return ""
	}
	return a.Argv[i+1]
}

const modelHead = "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec:\n  model: a/m\n"

func TestARoleSaysItsOwn(t *testing.T) {
	r := offline(t, modelHead+`
  mode: disagg
  engineArgs: {tensor_parallel_size: 2, max_num_seqs: 64, quantization: fp8, enforce_eager: true}
  dynamoArgs: {dyn_tool_call_parser: hermes, dyn_reasoning_parser: qwen3}
  env: {A: model, B: model}
  kvTransferConfig: {kv_connector: NixlConnector, kv_role: kv_both, kv_buffer_device: cuda}
  kvEventsConfig: {buffer_steps: 100}
  resources: {cpus: 2}
  prefill:
    engineArgs: {tensor-parallel-size: 4, quantization: null}
    dynamoArgs: {dyn_tool_call_parser: null, dyn_reasoning_parser: deepseek_r1}
    env: {B: prefill, C: prefill}
    kvTransferConfig: {kv_role: kv_producer, kv_buffer_device: null}
    kvEventsConfig: {buffer_steps: 200}
    resources: {gpus: 5, cpus: 8}
    placement: {nodeSelector: {zone: b}}
  decode:
    engineArgs: {max_num_seqs: null}
`)
	prefill, decode := r.worker(t, "prefill"), r.worker(t, "decode")
	for _, x := range []struct{ what, got, want string }{
		{"prefill: tensor parallel size", prefill.after("--tensor-parallel-size"), "4"},
		{"prefill: unset quantization", prefill.after("--quantization"), ""},
		{"prefill: unset parser", prefill.after("--dyn-tool-call-parser"), ""},
		{"prefill: other parser", prefill.after("--dyn-reasoning-parser"), "deepseek_r1"},
		{"prefill: the model's argument", prefill.after("--max-num-seqs"), "64"},
		{"prefill: connector", prefill.after("--kv-transfer-config"), `{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}`},
		{"prefill: A", prefill.Env["A"].Value, "model"},
		{"prefill: B", prefill.Env["B"].Value, "prefill"},
		{"prefill: C", prefill.Env["C"].Value, "prefill"},
		{"decode: tensor parallel size", decode.after("--tensor-parallel-size"), "2"},
		{"decode: unset argument", decode.after("--max-num-seqs"), ""},
		{"decode: quantization", decode.after("--quantization"), "fp8"},
		{"decode: parser", decode.after("--dyn-tool-call-parser"), "hermes"},
		{"decode: connector", decode.after("--kv-transfer-config"), `{"kv_connector": "NixlConnector", "kv_role": "kv_both", "kv_buffer_device": "cuda"}`},
		{"decode: B", decode.Env["B"].Value, "model"},
		{"decode: C", decode.Env["C"].Value, ""},
	} {
		if x.got != x.want {
			t.Errorf("%s: got %q, want %q", x.what, x.got, x.want)
		}
	}
	if !strings.Contains(prefill.after("--kv-events-config"), `"buffer_steps": 200`) {
		t.Errorf("prefill publishes by %s", prefill.after("--kv-events-config"))
	}
	for _, g := range r.PlacementGroups {
		selected := len(g.Selector) > 0 && g.Selector[0]["zone"] == "b"
		switch {
		case strings.Contains(g.Name, "_prefill_"):
			if g.Bundles[0] != (state.BundleShape{CPU: 8, GPU: 5}) || !selected {
				t.Errorf("prefill is placed by %+v", g)
			}
		case strings.Contains(g.Name, "_decode_"):
			if g.Bundles[0] != (state.BundleShape{CPU: 2, GPU: 2}) || selected {
				t.Errorf("decode is placed by %+v", g)
			}
		}
	}
}

// Each field of a role is part of the generation, and counts for its role alone.
func TestEachFieldOfARoleRolls(t *testing.T) {
	generation := func(role string) string {
		r := offline(t, modelHead+"  mode: disagg\n  prefill: {"+role+"}\n  decode: {}\n")
		return strings.Split(r.worker(t, "prefill").PlacementGroup, "_")[2]
	}
	plain := generation("")
	for _, role := range []string{
		"engineArgs: {a: 1}", "dynamoArgs: {a: 1}", "kvEventsConfig: {a: 1}", "kvTransferConfig: {a: 1}", "env: {A: b}",
		"resources: {gpus: 2}", "resources: {cpus: 2}", "placement: {excludeHeadNode: true}", "placement: {nodeSelector: {zone: b}}",
	} {
		if generation(role) == plain {
			t.Errorf("%s leaves the generation as it is", role)
		}
	}
	if generation("replicas: 2") != plain {
		t.Error("another count rolls")
	}
}

func TestAnAggregatedWorkerHasItsConnector(t *testing.T) {
	r := offline(t, modelHead+`
  engineArgs: {tensor_parallel_size: 16}
  kvTransferConfig: {kv_connector: LMCacheConnectorV1, kv_role: kv_both}
`)
	const want = `{"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}`
	ranks := 0
	for _, a := range r.Actors {
		if !strings.Contains(a.Name, "DP0") {
			continue
		}
		ranks++
		i := slices.Index(a.Argv, "--kv-transfer-config")
		if a.after("--kv-transfer-config") != want || i+2 >= len(a.Argv) || a.Argv[i+2] != "--kv-events-config" {
			t.Errorf("%s: %q", a.Name, a.Argv)
		}
		if _, nixl := a.Env["VLLM_NIXL_SIDE_CHANNEL_PORT"]; nixl || a.Env["PYTHONHASHSEED"].Value != "0" {
			t.Errorf("%s: %v; want the hash seed and no side channel", a.Name, a.Env)
		}
	}
	if ranks != 2 {
		t.Errorf("%d ranks, want 2", ranks)
	}
	nixl := offline(t, modelHead+`  kvTransferConfig: {kv_connector: PdConnector, kv_connector_extra_config: {connectors: [{kv_connector: NixlConnector}]}}`)
	if port := nixl.worker(t, "").Env["VLLM_NIXL_SIDE_CHANNEL_PORT"].Value; port != "20097" {
		t.Errorf("the side channel of a nested NIXL connector is %q, want a port of its own", port)
	}
}

// What is a default gives way to what is written, wherever that is.
func TestAGivenVariableCounts(t *testing.T) {
	for _, where := range []string{
		"  env: {FLASHINFER_WORKSPACE_BASE: /cache, VLLM_ENGINE_READY_TIMEOUT_S: 99}",
		"  runtimeEnv: {env_vars: {FLASHINFER_WORKSPACE_BASE: /cache, VLLM_ENGINE_READY_TIMEOUT_S: \"99\"}}",
	} {
		a := offline(t, modelHead+where).worker(t, "")
		inherits := strings.Contains(where, "runtimeEnv")
		for name, want := range map[string]string{"FLASHINFER_WORKSPACE_BASE": "/cache", state.ReadyTimeoutEnv: "99"} {
			if got, ok := a.Env[name]; ok == inherits || !inherits && got.Value != want {
				t.Errorf("%s: %s is %+v, %t", where, name, got, ok)
			}
		}
	}
	r := offline(t, "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {env: {DYN_RUNTIME_NUM_WORKER_THREADS: 4}}\n")
	frontend := r.Actors[len(r.Actors)-1]
	if got := frontend.Env["DYN_RUNTIME_NUM_WORKER_THREADS"].Value; got != "4" {
		t.Errorf("the frontend has %q threads, want the 4 that are given", got)
	}
}

func TestVLLMWaitsAsLongAsStartupTimeoutSays(t *testing.T) {
	for timeout, want := range map[string]string{"45m": "2700", "1h30m0.5s": "5401", "10m": "", "90s": ""} {
		a := offline(t, modelHead+"  startupTimeout: "+timeout+"\n").worker(t, "")
		if got := a.Env[state.ReadyTimeoutEnv].Value; got != want {
			t.Errorf("%s: %s is %q, want %q", timeout, state.ReadyTimeoutEnv, got, want)
		}
	}
	generation := func(extra string) string {
		return strings.Split(offline(t, modelHead+extra).worker(t, "").PlacementGroup, "_")[2]
	}
	if generation("  startupTimeout: 45m\n") != generation("  startupTimeout: 90s\n") {
		t.Error("another startupTimeout rolls")
	}
	if got := offline(t, modelHead+"  engine: sglang\n").worker(t, "").Env[state.ReadyTimeoutEnv]; got.Value != "" {
		t.Errorf("sglang is told %+v", got)
	}
}

func TestEveryParallelSizeIsCounted(t *testing.T) {
	for args, want := range map[string]int{
		"{tensor_parallel_size: 2, prefill_context_parallel_size: 2}":                        4,
		"{tensor_parallel_size: 2, pipeline_parallel_size: 2, data_parallel_size: 2}":        8,
		"{tensor_parallel_size: 4, decode_context_parallel_size: 2}":                         4,
		"{prefill_context_parallel: 3}":                                                      3,
		"{tensor_parallel_size: 2, prefill_context_parallel_size: 2, data_parallel_size: 2}": 8,
	} {
		if got := offline(t, modelHead+"  engineArgs: "+args+"\n").worker(t, "").GPUs; got != want {
			t.Errorf("%s: %d GPUs, want %d", args, got, want)
		}
	}
	r := offline(t, modelHead+"  engine: trtllm\n  engineArgs: {override_engine_args: {tensor_parallel_size: 4}}\n")
	if len(r.Rejected) != 1 || r.Rejected[0].Reason != state.ReasonBadParallelSize {
		t.Errorf("a size within override_engine_args: %+v", r.Rejected)
	}
}

// Each row says what is accepted and warned of.
func TestWarningsOfModels(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		paths      []string
	}{
		{"a switch as text", "engineArgs: {revision: yes, tokenizer_revision: 'True'}", []string{"spec.engineArgs.revision", "spec.engineArgs.tokenizer_revision"}},
		{"text after a dot", "engineArgs: {kernel_config.enable_flashinfer_autotune: 'false'}", nil},
		{"a switch as text after a dot", "engine: trtllm\n  engineArgs: {trtllm.kv_cache_config.enable_block_reuse: yes, trtllm.a: off}",
			[]string{"spec.engineArgs.trtllm.kv_cache_config.enable_block_reuse", "spec.engineArgs.trtllm.a"}},
		{"hyphens after a dot", "engine: trtllm\n  engineArgs: {trtllm.kv-cache-config.dtype: fp8}", []string{"spec.engineArgs.trtllm.kv-cache-config.dtype"}},
		{"a switch", "engineArgs: {enforce_eager: true}", nil},
		{"a flag in both fields", "engineArgs: {max_model_len: 1}\n  dynamoArgs: {max_model_len: 2}", []string{"spec.engineArgs.max_model_len"}},
		{"a file of arguments", "engineArgs: {config: /etc/vllm.yaml}", []string{"spec.engineArgs.config"}},
		{"a file, and the GPUs", "engineArgs: {config: /etc/vllm.yaml}\n  resources: {gpus: 4}", nil},
		{"a file of sglang", "engine: sglang\n  engineArgs: {config: /etc/x.yaml}", []string{"spec.engineArgs.config"}},
		{"a file of trtllm", "engine: trtllm\n  engineArgs: {extra-engine-args: /etc/x.yaml}", []string{"spec.engineArgs.extra-engine-args"}},
		{"options of trtllm", "engine: trtllm\n  engineArgs: {override_engine_args: '{\"context_parallel_size\": 2}'}", []string{"spec.engineArgs.override_engine_args"}},
		{"options of trtllm without a size", "engine: trtllm\n  engineArgs: {override_engine_args: {moe_expert_parallel_size: 2, kv_cache_config: {dtype: fp8}}}", nil},
		{"GPUs that are left out", "engine: sglang\n  engineArgs: {tp: 2, base_gpu_id: 1, gpu_id_step: 2}", []string{"spec.engineArgs.base_gpu_id", "spec.engineArgs.gpu_id_step"}},
		{"GPUs that are not", "engine: sglang\n  engineArgs: {base_gpu_id: 0, gpu_id_step: 1}", nil},
		{"several workers in a process", "engine: mocker\n  engineArgs: {num_workers: 3}", []string{"spec.engineArgs.num_workers"}},
		{"a connector without a role", "kvTransferConfig: {kv_connector: OffloadingConnector}", []string{"spec.kvTransferConfig.kv_connector"}},
		{"keys and roles that no connector has", "mode: disagg\n  kvTransferConfig: {kv_conector: X, kv_role: both}\n  prefill: {kvTransferConfig: {buffer: 1}}\n  decode: {}",
			[]string{"spec.kvTransferConfig.kv_conector", "spec.kvTransferConfig.kv_role", "spec.prefill.kvTransferConfig.buffer"}},
		{"the other form of a switch that rules KV events", "engineArgs: {no_disable_hybrid_kv_cache_manager: true}", []string{"spec.engineArgs.no_disable_hybrid_kv_cache_manager"}},
		{"routing without a router", "engine: mocker\n  dynamoArgs: {router_temperature: 0.5, active-decode-blocks-threshold: 0.9}",
			[]string{"spec.dynamoArgs.router_temperature", "spec.dynamoArgs.active-decode-blocks-threshold"}},
		{"routing by another mode", "engine: mocker\n  router: {mode: random}\n  dynamoArgs: {router_temperature: 0.5, active-decode-blocks-threshold: 0.9}",
			[]string{"spec.dynamoArgs.router_temperature"}},
		{"routing by kv", "engine: mocker\n  router: {mode: kv}\n  dynamoArgs: {router_temperature: 0.5}", nil},
		{"a runtime_env that Ray does not read", "runtimeEnv: {pipp: [a], working_dir: null}", []string{"spec.runtimeEnv.pipp"}},
		{"a size that trtllm takes by another way", "engine: trtllm\n  engineArgs: {trtllm.context_parallel_size: 2}", []string{"spec.engineArgs.trtllm.context_parallel_size"}},
		{"fewer GPUs than the sizes take", "engineArgs: {tensor_parallel_size: 4}\n  resources: {gpus: 2}", []string{"spec.resources.gpus"}},
		{"null that unsets nothing", "mode: disagg\n  prefill: {engineArgs: {quantization: null}}\n  decode: {}", []string{"spec.prefill.engineArgs.quantization"}},
		{"variables that nobody inherits", "runtimeEnv: {env_vars: {DYN_LOG: debug, RAY_x: a, HF_HOME: /x}}", []string{"spec.runtimeEnv.env_vars.DYN_LOG", "spec.runtimeEnv.env_vars.RAY_x"}},
		{"a variable in both", "runtimeEnv: {env_vars: {A: b}}\n  env: {A: c}", []string{"spec.runtimeEnv.env_vars.A"}},
		{"vllm gives up first", "env: {VLLM_ENGINE_READY_TIMEOUT_S: 60}", []string{"spec.env.VLLM_ENGINE_READY_TIMEOUT_S"}},
		{"a role's gives up first", "mode: disagg\n  prefill: {}\n  decode: {env: {VLLM_ENGINE_READY_TIMEOUT_S: 60}}", []string{"spec.decode.env.VLLM_ENGINE_READY_TIMEOUT_S"}},
		{"vllm waits long enough", "env: {VLLM_ENGINE_READY_TIMEOUT_S: 1800}", nil},
		{"a template that nothing reads", "kvEventsConfig: {buffer_steps: 1}", []string{"spec.kvEventsConfig"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := offline(t, modelHead+"  "+tt.spec+"\n")
			if len(r.Rejected) > 0 {
				t.Fatal(r.Rejected[0].Message)
			}
			var got []string
			for _, w := range r.Warnings {
				if w.Key != "model.default.m" || w.Message == "" {
					t.Errorf("%+v", w)
				}
				got = append(got, w.Path)
			}
			if a, b := mustJSON(t, got), mustJSON(t, tt.paths); a != b {
				t.Errorf("got %s, want %s", a, b)
			}
		})
	}
}

func TestWarningsOfServersAndAnnotations(t *testing.T) {
	r := offline(t, `apiVersion: dynctl/v1alpha1
kind: Server
metadata: {name: default, annotations: {dynctl/recreate: "3", dynctl/recreat: "3", team: a}}
spec:
  router: {kvEvents: true, args: {router_temperature: 1}}
  frontend: {args: {router-temperature: 2, model_name: "no"}}
  runtimeEnv: {env_vars: {DYN_LOG: debug}}
---
apiVersion: dynctl/v1alpha1
kind: Model
metadata: {name: m, annotations: {dynctl/recreate: "3"}}
spec: {model: a/m}
`)
	var got []string
	for _, w := range r.Warnings {
		got = append(got, w.Key+" "+w.Path)
	}
	want := []string{
		"server.default metadata.annotations.dynctl/recreat",
		"server.default spec.router.args.router_temperature",
		"server.default spec.frontend.args.model_name",
		"server.default spec.runtimeEnv.env_vars.DYN_LOG",
		"server.default spec.router.kvEvents",
		"server.default spec.router.args.router_temperature",
		"server.default spec.frontend.args.router-temperature",
		"model.default.m metadata.annotations.dynctl/recreate",
	}
	if a, b := mustJSON(t, got), mustJSON(t, want); a != b {
		t.Errorf("got %s, want %s", a, b)
	}
}
