package engineflags

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// wordsRow is an argument of a program, and how it is written.
type wordsRow struct {
	program, key, value string
	want                string // words, joined by "|"
}

func written(t *testing.T, rows []wordsRow) {
	t.Helper()
	for _, tt := range rows {
		words, problem := Recorded(tt.program).Words(tt.key, json.RawMessage(tt.value))
		if got := strings.Join(words, "|"); got != tt.want || problem != nil {
			t.Errorf("%s %s: %s\ngot  %s, %v\nwant %s", tt.program, tt.key, tt.value, got, problem, tt.want)
		}
	}
}

// What is known of a flag decides how an argument is written.
func TestWords(t *testing.T) {
	written(t, []wordsRow{
		// Several words.
		{VLLM, "cudagraph_capture_sizes", "[1, 2, 4, 8]", "--cudagraph-capture-sizes|1|2|4|8"},
		{VLLM, "cudagraph-capture-sizes", "4", "--cudagraph-capture-sizes|4"},
		{VLLM, "allowed_media_domains", `["a.org", "b.org"]`, "--allowed-media-domains|a.org|b.org"},
		{VLLM, "ignore_patterns", `"*.bin"`, "--ignore-patterns|*.bin"},
		{SGLang, "cuda_graph_bs_decode", "[1, 2]", "--cuda-graph-bs-decode|1|2"},
		{SGLang, "lora_paths", "[]", "--lora-paths"},
		{TRTLLM, "output_modalities", `["text", "image"]`, "--output-modalities|text|image"},
		{Frontend, "frontend_route_extension", `["a", "b"]`, "--frontend-route-extension|a|--frontend-route-extension|b"},
		// Switches.
		{VLLM, "enforce_eager", "true", "--enforce-eager"},
		{VLLM, "enforce_eager", "false", "--no-enforce-eager"},
		{VLLM, "ep", "false", "--no-enable-expert-parallel"},
		{VLLM, "no_enable_prefix_caching", "true", "--no-enable-prefix-caching"},
		{VLLM, "disable_log_stats", "false", ""},
		{SGLang, "disable_radix_cache", "false", ""},
		{SGLang, "disable_radix_cache", "true", "--disable-radix-cache"},
		{Mocker, "enable_prefix_caching", "false", "--no-enable-prefix-caching"},
		{Mocker, "sglang_generate", "false", ""},
		{VLLM, "hf_token", "true", "--hf-token"},
		{VLLM, "hf_token", "false", ""},
		{VLLM, "hf_token", `"abc"`, "--hf-token|abc"},
		// Numbers, text and null.
		{VLLM, "max_model_len", "8192", "--max-model-len|8192"},
		{VLLM, "max_model_len", `"8k"`, "--max-model-len|8k"},
		{VLLM, "max_model_len", `"auto"`, "--max-model-len|auto"},
		{VLLM, "max_model_len", "-1", "--max-model-len|-1"},
		{VLLM, "gpu_memory_utilization", "9e-1", "--gpu-memory-utilization|9e-1"},
		{VLLM, "watermark", "-1e-3", "--watermark=-1e-3"},
		{VLLM, "num_gpu_blocks_override", `"None"`, "--num-gpu-blocks-override|None"},
		{VLLM, "quantization", "null", ""},
		{VLLM, "revision", `"-v1"`, "--revision=-v1"},
		{VLLM, "revision", `"true"`, "--revision|true"},
		{VLLM, "reasoning_parser", `""`, "--reasoning-parser|"},
		{VLLM, "optimization_level", "3", "--optimization-level|3"},
		{VLLM, "max_lora_rank", "16", "--max-lora-rank|16"},
		// Short options and abbreviations.
		{VLLM, "tp", "8", "--tensor-parallel-size|8"},
		{VLLM, "q", `"fp8"`, "--quantization|fp8"},
		{VLLM, "tensor_parallel", "2", "--tensor-parallel|2"},
		{SGLang, "tp", "2", "--tp|2"},
	})
}

func TestWordsOfObjects(t *testing.T) {
	written(t, []wordsRow{
		{VLLM, "compilation_config", `{"mode":3,"cudagraph_capture_sizes":[1,2]}`, `--compilation-config|{"mode": 3, "cudagraph_capture_sizes": [1, 2]}`},
		{VLLM, "speculative_config", `"{\"method\":\"ngram\"}"`, `--speculative-config|{"method":"ngram"}`},
		{VLLM, "hf_overrides", `{"a":1}`, `--hf-overrides|{"a": 1}`},
		{VLLM, "kernel_config", `"{\"x\": 80g}"`, `--kernel-config|{"x": 80g}`},
		{SGLang, "json_model_override_args", `{"a":1}`, `--json-model-override-args|{"a": 1}`},
		// Dotted keys.
		{VLLM, "kernel_config.enable_flashinfer_autotune", "false", "--kernel-config.enable_flashinfer_autotune|False"},
		{VLLM, "compilation_config.pass_config.fuse_norm_quant", "true", "--compilation-config.pass_config.fuse_norm_quant|True"},
		{VLLM, "speculative_config.num_speculative_tokens", "5", "--speculative-config.num_speculative_tokens|5"},
		{VLLM, "hf_overrides.tie_word_embeddings", "true", "--hf-overrides.tie_word_embeddings|true"},
		{VLLM, "compilation_config.cudagraph_capture_sizes", "[1,2]", "--compilation-config.cudagraph_capture_sizes|[1, 2]"},
		{VLLM, "speculative_config.model", `"--x"`, "--speculative-config.model=--x"},
		{VLLM, "no_such_config.a_b", "true", "--no-such-config.a_b|True"},
		{TRTLLM, "trtllm.kv_cache_config.enable_block_reuse", "false", "--trtllm.kv_cache_config.enable_block_reuse|false"},
		{TRTLLM, "trtllm.kv_cache_config.free_gpu_memory_fraction", "0.7", "--trtllm.kv_cache_config.free_gpu_memory_fraction|0.7"},
	})
}

// What is not known is written by the plain rule.
func TestWordsOfUnknownFlags(t *testing.T) {
	written(t, []wordsRow{
		{VLLM, "no_such_flag", "[1,2]", "--no-such-flag|[1, 2]"},
		{VLLM, "no_such_flag", "false", "--no-no-such-flag"},
		{VLLM, "no_such_flag", "null", "--no-such-flag|None"},
		{Mocker, "a.b_c", "true", "--a.b-c"},
		{"none", "max_model_len", "[]", "--max-model-len|[]"},
	})
}

// A value that the program would refuse, or read as something else, has a problem
// that says what to write.
func TestWordsProblems(t *testing.T) {
	for _, tt := range []struct{ program, key, value, mentions string }{
		{VLLM, "enforce_eager", `"yes"`, "write true or false, without quotes"},
		{VLLM, "enforce_eager", "1", "takes no value"},
		{VLLM, "no_enforce_eager", "false", "write enforce-eager: true"},
		{SGLang, "disable_radix_cache", `"false"`, "is a switch"},
		{VLLM, "max_model_len", "true", "takes a value"},
		{VLLM, "max_model_len", "8192.0", "write 8192"},
		{VLLM, "max_num_seqs", "1e2", "write 100"},
		{VLLM, "max_num_seqs", "1.5", "a whole number, not 1.5"},
		{VLLM, "max_model_len", "[8192]", "takes one value"},
		{VLLM, "gpu_memory_utilization", `"90%"`, `a number, not "90%"`},
		{VLLM, "dtype", `"fp16"`, "one of auto, bfloat16"},
		{VLLM, "dtype", "{}", "takes one value"},
		{VLLM, "max_lora_rank", "17", "one of 1, 8"},
		{VLLM, "cudagraph_capture_sizes", `"1 2 4"`, "write a list: [1, 2, 4]"},
		{VLLM, "cudagraph_capture_sizes", "[]", "at least one"},
		{VLLM, "cudagraph_capture_sizes", `[1, "x"]`, `not "x"`},
		{VLLM, "allowed_media_domains", `["-a"]`, "another option"},
		{VLLM, "compilation_config", "3", "an object"},
		{VLLM, "speculative_config", `"ngram"`, "a JSON value"},
		{VLLM, "help", "true", "prints something and ends"},
		{VLLM, "revision", "true", "takes a value"},
		{TRTLLM, "trtllm.cuda_graph_config.batch_sizes", "[1]", "override_engine_args"},
	} {
		_, problem := Recorded(tt.program).Words(tt.key, json.RawMessage(tt.value))
		if problem == nil || !strings.Contains(problem.Message, tt.mentions) {
			t.Errorf("%s %s: %s: got %v, want a problem that mentions %q", tt.program, tt.key, tt.value, problem, tt.mentions)
		}
	}
}

// Every recorded flag can be found by its key, its aliases and its options.
func TestRecordedTablesAreWhole(t *testing.T) {
	least := map[string]int{VLLM: 300, SGLang: 500, TRTLLM: 100, Mocker: 90, Frontend: 80}
	for program, n := range least {
		table := Recorded(program)
		if got := len(table.Flags()); got < n {
			t.Errorf("%s: %d flags, want at least %d", program, got, n)
		}
		if table.Versions["ai-dynamo"] == "" {
			t.Errorf("%s: no version of ai-dynamo", program)
		}
		for _, f := range table.Flags() {
			for _, key := range append(f.Aliases(), f.Key()) {
				if found, ok := table.Find(key); !ok || found.Name() != f.Name() {
					t.Errorf("%s: the key %q finds %q, want %q", program, key, found.Name(), f.Name())
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	vllm := Recorded(VLLM)
	if f, _ := vllm.Find("tensor"); f.Name() != "tensor-parallel-size" {
		t.Errorf("an abbreviation finds %q", f.Name())
	}
	if f, ok := vllm.Find("data_parallel"); !ok || !slices.Contains(f.Ambiguous, "--data-parallel-rank") || vllm.Knows("data_parallel") {
		t.Errorf("an ambiguous one finds %+v, %v", f, ok)
	}
	if f, ok := vllm.Find("head"); ok {
		t.Errorf("a parser without abbreviations takes one for %q", f.Name())
	}
	if !vllm.Same("tp", "tensor-parallel-size") || vllm.Same("tp", "pp") || !vllm.Same("x_y", "x-y") {
		t.Error("keys of one flag are the same, and no others")
	}
	for key, want := range map[string]string{"tp": "tensor_parallel_size", "tp_size": "tensor_parallel_size", "nonsense": ""} {
		if got := Recorded(TRTLLM).Elsewhere(key); got != want {
			t.Errorf("trtllm has %q for %q, want %q", got, key, want)
		}
	}
}

// Property: what a table writes is never more than what was asked for, and with a
// problem it is the plain form.
func FuzzWords(f *testing.F) {
	f.Add("max_model_len", []byte("8192"))
	f.Add("kernel_config.a", []byte("[true]"))
	f.Add("tp=", []byte(`"-"`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		value = []byte(strings.TrimSpace(string(value)))
		if !json.Valid(value) {
			return
		}
		for _, program := range []string{VLLM, SGLang, TRTLLM, Mocker, Frontend} {
			words, problem := Recorded(program).Words(key, value)
			if problem != nil && (problem.Message == "" || !slices.Equal(words, Plain(key, value))) {
				t.Errorf("%s %q %s: %v, %v", program, key, value, words, problem)
			}
			if len(words) > 0 && !strings.HasPrefix(words[0], "--") {
				t.Errorf("%s %q %s: begins with %q", program, key, value, words[0])
			}
		}
	})
}
