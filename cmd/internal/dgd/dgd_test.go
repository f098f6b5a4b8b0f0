package dgd

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestReadCommand(t *testing.T) {
	for name, tc := range map[string]struct {
		words    []string
		module   string
		args     []string
		computed int
		others   bool
	}{
		"plain":             {words: []string{"python3", "-m", "dynamo.vllm", "--model", "m"}, module: "vllm", args: []string{"--model", "m"}},
		"a script":          {words: []string{"/bin/bash", "-c", "exec python3 -m dynamo.sglang \\\n  --model-path 'a b' \\\n  --tp 2"}, module: "sglang", args: []string{"--model-path", "a b", "--tp", "2"}},
		"its own arguments": {words: []string{"sh", "-lc", `exec python3 -m dynamo.vllm "$@"`, "--", "--model", "m"}, module: "vllm", args: []string{"--model", "m"}},
		"what is computed":  {words: []string{"sh", "-c", `python3 -m dynamo.vllm --model "$M" --seed $(date +%s)`}, module: "vllm", args: []string{"--model", `"$M"`, "--seed", "$(date +%s)"}, computed: 2},
		"variables of its own": {words: []string{"sh", "-c", `M=$MODEL; exec python3 -m dynamo.vllm --model "${M}" --c="$JSON" --d "${MODEL:-x}" --e="$OTHER"`}, module: "vllm",
			args: []string{"--model", "org/m", `--c={"a": 1}`, "--d", `"${MODEL:-x}"`, `--e="$OTHER"`}, computed: 2},
		"references":         {words: []string{"python3", "-m", "dynamo.vllm", "--model", "$(MODEL)", "--c", "$(OTHER)", "--d", "$$(MODEL)"}, module: "vllm", args: []string{"--model", "org/m", "--c", "$(OTHER)", "--d", "$(MODEL)"}, computed: 1},
		"other commands too": {words: []string{"sh", "-c", "sleep 1; python3 -m dynamo.trtllm --model-path m & wait"}, module: "trtllm", args: []string{"--model-path", "m"}, others: true},
		"flags alone":        {words: []string{"--model", "m"}, module: "vllm", args: []string{"--model", "m"}},
		"something else":     {words: []string{"sleep", "1"}},
		"a broken script":    {words: []string{"sh", "-c", "if true; then ("}, computed: 1},
		"nothing":            {},
	} {
		c := readCommand(tc.words, "vllm", variables{"MODEL": "org/m", "JSON": `{"a": 1}`})
		if c.module != tc.module || !slices.Equal(c.args, tc.args) || len(c.computed) != tc.computed || c.others != tc.others {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestFlagsAreArguments(t *testing.T) {
	words := strings.Fields(`--a --no-b --c 1 --d -1 --e x y --f=z --g_h.i_j true -O3 --k {"a":1} -tp 2 --l [1,2]`)
	flags, stray := readFlags("vllm", append([]string{"stray"}, words...))
	var got []string
	for _, f := range flags {
		a := f.arg()
		got = append(got, a.Key+"="+string(a.Value))
	}
	want := []string{`a=true`, `b=false`, `c=1`, `d=-1`, `e=["x","y"]`, `f="z"`, `g_h.i_j=true`, `O=3`, `k={"a":1}`, `tensor_parallel_size=2`, `l=[1,2]`}
	if !slices.Equal(got, want) || !slices.Equal(stray, []string{"stray"}) {
		t.Errorf("%q, stray %q; want %q", got, stray, want)
	}
}

// What starts the engine is told where it is more than an interpreter.
func TestLaunchersAreTold(t *testing.T) {
	for words, want := range map[string]string{
		"python3 -m dynamo.vllm": "", "exec python -m dynamo.vllm": "",
		"/opt/venv/bin/python3 -m dynamo.vllm":               "/opt/venv/bin/python3",
		"numactl -N 0 python3 -X dev -m dynamo.vllm --x 1":   "numactl -N 0 python3 -X dev",
		"trtllm-llmapi-launch python3 -m dynamo.trtllm -h a": "trtllm-llmapi-launch python3",
	} {
		script := readCommand([]string{"sh", "-c", words}, "", nil)
		plain := readCommand(strings.Fields(words), "", nil)
		if got := strings.Join(plain.before, " "); got != want || strings.Join(script.before, " ") != want {
			t.Errorf("%s: %q and %q, want %q", words, got, script.before, want)
		}
	}
}

// Whatever a document holds, it is converted or refused with a place, and never ends the program.
func FuzzConvert(f *testing.F) {
	f.Add(`{"spec":{"services":{"w":{"componentType":"worker","replicas":1,"resources":{"limits":{"gpu":"2"}},
		"extraPodSpec":{"mainContainer":{"command":["sh","-c","python3 -m dynamo.vllm --model m"]}}}}}}`)
	f.Add(`{"spec":{"components":[{"name":"p","type":"prefill","podTemplate":{"spec":{"containers":[{"name":"main","args":["-m","dynamo.sglang"]}]}}}]}}`)
	f.Add(`{"spec":{"services":{"w":{"componentType":"worker","envs":[{"name":"M","value":"a b*"}],"extraPodSpec":{"mainContainer":{"command":["sh","-c","N=$M; exec python3 -m dynamo.vllm --model $N --x=\"${O}\" --y $(date)"]}}}}}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, doc string) {
		r, err := Convert(json.RawMessage(doc), nil)
		if err == nil && len(r.Models) == 0 {
			t.Error("no model and no error")
		}
		if _, bad := json.Marshal(r.Models); bad != nil {
			t.Errorf("the models cannot be written: %v", bad)
		}
	})
}

// Roles of one model belong together also where one of them alone has its served name,
// and what becomes of a role without the other is told.
func TestRolesThatOneServedNameNames(t *testing.T) {
	const decode = `"d":{"componentType":"worker","subComponentType":"decode","extraPodSpec":{"mainContainer":{"command":["python3","-m","dynamo.vllm","--model","a/m","--served-model-name","m"]}}}`
	const prefill = `"p":{"componentType":"worker","subComponentType":"prefill","extraPodSpec":{"mainContainer":{"command":["python3","-m","dynamo.vllm","--model","a/m"]}}}`
	for services, want := range map[string]string{
		decode + "," + prefill: "m disagg", prefill + "," + decode: "m disagg", decode: "m aggregated",
	} {
		r, err := Convert(json.RawMessage(`{"spec":{"services":{`+services+`}}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		m := r.Models[0].WithDefaults()
		if got := m.Spec.ServedName + " " + m.Spec.Mode; len(r.Models) != 1 || got != want {
			t.Errorf("%d models, %s; want %s", len(r.Models), got, want)
		}
		if told := slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "became aggregated") }); told != (services == decode) {
			t.Errorf("notes %q", r.Notes)
		}
	}
}
