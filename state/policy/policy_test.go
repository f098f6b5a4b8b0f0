package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dynctl/state"
)

var update = flag.Bool("update", false, "write the golden files")

const head = "apiVersion: dynctl/v1alpha1\nkind: Policy\n"

func parse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("policy.yaml", []byte(head+text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// specOf is a document with its defaults, and whether it is one of a server.
func specOf(t *testing.T, kind, spec string) (m state.Model, s state.Server) {
	t.Helper()
	docs, err := state.Decode("spec.yaml", []byte("apiVersion: dynctl/v1alpha1\nkind: "+kind+"\nmetadata: {name: m}\nspec: "+spec+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if o := docs[0].Object; o.Server != nil {
		return m, o.Server.WithDefaults()
	}
	return docs[0].Object.Model.WithDefaults(), s
}

func judged(t *testing.T, p *Policy, kind, spec string) []Denial {
	t.Helper()
	m, s := specOf(t, kind, spec)
	if kind == state.KindServer {
		return p.Server(s)
	}
	return p.Model(m)
}

func TestFilesOfAPolicyThatAreWrong(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "holds no document"},
		{"apiVersion: dynctl/v1alpha1\nkind: Polcy\n", `policy.yaml:2:7: kind "Polcy" is not known; it is Policy; did you mean Policy?`},
		{head + "env: {dney: [A]}\n", `policy.yaml:3:7: env has no field "dney"; did you mean deny?`},
		{head + "env: {deny: A}\n", "policy.yaml:3:13: env.deny takes a list, and this is text"},
		{head + "env: {deny: [1]}\n", "policy.yaml:3:14: env.deny.0 takes text, and this is a number"},
		{head + "env:\n  deny: [A, ' B']\n", "policy.yaml:4:13: env.deny.1: there is white space"},
		{head + "env: {deny: ['']}\n", "an empty entry fits nothing"},
		{head + "env: {deny: [A=B]}\n", "a name holds neither a space nor ="},
		{head + "engines: {only: [vlm]}\n", "there is no such engine: vllm, sglang, trtllm, mocker; did you mean vllm?"},
		{head + "models: {only: ['Qwen/*']}\n", "needs no *"},
		{head + "fromFile: {roots: [run/secrets]}\n", "want an absolute directory"},
		{head + "fromFile: {roots: [/run/../etc]}\n", "want an absolute directory without ., .. and a / at its end, such as /etc"},
		{head + "runtimeEnv: {urls: ['https://example.com']}\n", "with a / behind the host"},
		{head + "runtimeEnv: {urls: ['packages.example/']}\n", "with a / behind the host"},
		{head + "limits: {gpus: -1}\n", "a limit is 0 or more"},
		{head + "limits: {gpus: 1.5}\n", "without a fraction"},
		{head + "---\n" + head, "a second document begins here"},
		{"[]", "a document is an object"},
		{head + "env: {deny: [" + strings.Repeat("A,", maxEntries+1) + "]}\n", "at most 1000 are taken"},
		{head + "env: {deny: [" + strings.Repeat("A", maxEntry+1) + "]}\n", "at most 512 bytes"},
		{head + "#" + strings.Repeat(" ", state.MaxValueSize), "at most 524288 are read"},
	} {
		if _, err := Parse("policy.yaml", []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60q:\n%v\nwant %q", tc.text, err, tc.want)
		}
	}
}

// TestWhichRuleCounts has one row for each order of the rules.
func TestWhichRuleCounts(t *testing.T) {
	for _, tc := range []struct{ name, policy, kind, spec, want string }{
		{"deny has the last word", "env: {only: [A], allow: [A], deny: [A]}", "Model", "{model: a, env: {A: x}}", "env.deny A"},
		{"deny by pattern, in another case", "env: {deny: [aws_*]}", "Model", "{model: a, env: {AWS_PROFILE: x}}", "env.deny aws_*"},
		{"not in only", "env: {only: [HF_*]}", "Model", "{model: a, env: {OTHER: x}}", "env.only"},
		{"in only", "env: {only: [HF_*]}", "Model", "{model: a, env: {HF_HOME: x}}", ""},
		{"only does not open what the defaults close", "env: {only: [PYTHONPATH]}", "Model", "{model: a, env: {PYTHONPATH: x}}", "defaults: env PYTHONPATH"},
		{"allow does", "env: {allow: [PYTHONPATH]}", "Model", "{model: a, env: {PYTHONPATH: x}}", ""},
		{"and only that", "env: {allow: [PYTHONPATH]}", "Model", "{model: a, env: {PYTHONHOME: x}}", "defaults: env PYTHONHOME"},
		{"an empty only allows nothing", "env: {only: []}", "Model", "{model: a, env: {A: x}}", "env.only"},
		{"a server is judged alike", "env: {deny: [A]}", "Server", "{env: {A: x}}", "env.deny A"},
		{"an engine", "engines: {only: [mocker]}", "Model", "{model: a}", "engines.only"},
		{"a model by its beginning", "models: {only: [Qwen/]}", "Model", "{model: Qwen/Qwen3-8B}", ""},
		{"another owner", "models: {only: [Qwen/]}", "Model", "{model: QwenEvil/Qwen3}", "models.only"},
		{"a way around a directory", "models: {only: [/models/]}", "Model", "{model: /models/../tmp/x}", "models.only"},
		{"a denied owner in another case", "models: {deny: [evil/]}", "Model", "{model: Evil/m}", "models.deny evil/"},
		{"a denied directory in another spelling", "models: {deny: [/tmp/]}", "Model", "{model: //tmp/./x}", "models.deny /tmp/"},
		{"an argument in another spelling", "arguments: {deny: [trust-remote-code]}", "Model", "{model: a, engineArgs: {Trust_Remote-code: true}}", "arguments.deny trust-remote-code"},
		{"an abbreviation of it", "arguments: {deny: [trust-remote-code]}", "Model", "{model: a, engineArgs: {trust_remote: true}}", "arguments.deny trust-remote-code"},
		{"its short name", "arguments: {deny: [tensor-parallel-size]}", "Model", "{model: a, engineArgs: {tp: 2}}", "arguments.deny tensor-parallel-size"},
		{"inside of a value", "arguments: {deny: [hf-token]}", "Model", "{model: a, engineArgs: {speculative_config: {hf_token: x}}}", "arguments.deny hf-token"},
		{"arguments by a list of what alone is allowed", "arguments: {only: [max-model-len]}", "Model", "{model: a, engineArgs: {max_model_len: 1, seed: 1}}", "arguments.only"},
		{"whose values are their own", "arguments: {only: [speculative-config]}", "Model", "{model: a, engineArgs: {speculative_config: {method: x}}}", ""},
		{"null takes an argument away", "arguments: {deny: [seed]}", "Model", "{model: a, engineArgs: {seed: null}}", ""},
		{"the frontend's", "arguments: {deny: [tls-*]}", "Server", "{frontend: {args: {tls_cert_path: x}}}", "arguments.deny tls-*"},
		{"a variable that is an argument", "arguments: {deny: [custom-jinja-template]}", "Model", "{model: a, env: {DYN_CUSTOM_JINJA_TEMPLATE: x}}", "arguments.deny custom-jinja-template"},
		{"pip where all of it is allowed", "runtimeEnv: {allow: [pip]}", "Model", "{model: a, runtimeEnv: {pip: ['https://p.example/x.whl']}}", ""},
		{"and not uv", "runtimeEnv: {allow: [pip]}", "Model", "{model: a, runtimeEnv: {uv: ['https://p.example/x.whl']}}", "defaults: runtimeEnv uv by URL"},
		{"packages where none are", "runtimeEnv: {deny: [pip]}", "Model", "{model: a, runtimeEnv: {pip: [x]}}", "runtimeEnv.deny pip"},
		{"variables past a list of what alone is allowed", "runtimeEnv: {only: [pip]}", "Model", "{model: a, runtimeEnv: {env_vars: {LD_PRELOAD: x}}}", "defaults: env LD_*"},
		{"code from where it may come", "runtimeEnv: {urls: ['https://p.example/a/']}", "Model", "{model: a, runtimeEnv: {working_dir: 'https://p.example/a/x.zip'}}", ""},
		{"and from beside it", "runtimeEnv: {urls: ['https://p.example/a/']}", "Model", "{model: a, runtimeEnv: {working_dir: 'https://p.example/a/../b/x.zip'}}", "runtimeEnv.urls"},
		{"the same in disguise", "runtimeEnv: {urls: ['https://p.example/a/']}", "Model", "{model: a, runtimeEnv: {py_modules: ['https://p.example/a/%2E%2e/b.zip']}}", "runtimeEnv.urls"},
		{"another host", "runtimeEnv: {urls: ['https://p.example/']}", "Model", "{model: a, runtimeEnv: {py_modules: ['https://p.example@evil/b.zip']}}", "runtimeEnv.urls"},
		{"a root", "fromFile: {roots: [/srv]}", "Model", "{model: a, env: {T: {fromFile: /srv/t}}}", ""},
		{"the defaults' roots beside one", "fromFile: {roots: [/srv]}", "Model", "{model: a, env: {T: {fromFile: /run/secrets/t}}}", "fromFile.roots"},
		{"no file at all", "fromFile: {roots: []}", "Model", "{model: a, env: {T: {fromFile: /run/secrets/t}}}", "fromFile.roots"},
		{"any file", "fromFile: {roots: [/]}", "Model", "{model: a, env: {T: {fromFile: /opt/t}}}", ""},
		{"a variable of the node", "fromEnv: {only: [HF_TOKEN]}", "Model", "{model: a, env: {T: {fromEnv: AWS_KEY}}}", "fromEnv.only"},
		{"the one that is allowed", "fromEnv: {only: [HF_TOKEN]}", "Model", "{model: a, env: {T: {fromEnv: HF_TOKEN}}}", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found := judged(t, parse(t, tc.policy), tc.kind, tc.spec)
			got := ""
			if len(found) > 0 {
				got = found[0].Rule
			}
			if got != tc.want || len(found) > 1 {
				t.Errorf("rule %q, want %q: %+v", got, tc.want, found)
			}
		})
	}
}

// TestAttacksOnTheDefaults tries each field of a spec with what would execute something
// or read something on the nodes, in its spellings, and with what is everyday beside it:
// testdata/attacks.txt says what passes.
func TestAttacksOnTheDefaults(t *testing.T) {
	golden(t, "attacks.txt", attackTable(t))
}

func attackTable(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "attacks.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&b, line)
			continue
		}
		kind, spec, _ := strings.Cut(line, " ")
		found := judged(t, Default(), kind, spec)
		if len(found) == 0 {
			fmt.Fprintf(&b, "passes  %s %s\n", kind, spec)
		}
		for _, d := range found {
			fmt.Fprintf(&b, "DENIED  %s %s\n        %s  [%s]\n", kind, spec, d.Path, d.Rule)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (go test ./state/policy -update):\n%s", path, d)
	}
}

// TestEveryWayInIsDeniedInEveryPlace: a default that one field forgot is none.
func TestEveryWayInIsDeniedInEveryPlace(t *testing.T) {
	for _, w := range variables {
		name := strings.ReplaceAll(w.pattern, "*", "X")
		for _, tc := range []struct{ kind, spec string }{
			{"Server", "{env: {%q: x}}"},
			{"Server", "{runtimeEnv: {env_vars: {%q: x}}}"},
			{"Model", "{model: a, env: {%q: x}}"},
			{"Model", "{model: a, env: {%q: {fromEnv: X}}}"},
			{"Model", "{model: a, runtimeEnv: {env_vars: {%q: x}}}"},
			{"Model", "{model: a, mode: disagg, prefill: {env: {%q: x}}, decode: {}}"},
			{"Model", "{model: a, mode: disagg, prefill: {}, decode: {env: {%q: x}}}"},
		} {
			if found := judged(t, Default(), tc.kind, fmt.Sprintf(tc.spec, name)); len(found) != 1 || !strings.HasPrefix(found[0].Rule, "defaults: env ") {
				t.Errorf("%s in %s: %+v", name, tc.spec, found)
			}
		}
	}
	for _, w := range arguments {
		name := strings.ReplaceAll(w.pattern, "*", "x")
		for _, tc := range []struct{ kind, spec string }{
			{"Server", "{frontend: {args: {%q: x}}}"},
			{"Server", "{router: {args: {%q: x}}}"},
			{"Model", "{model: a, engineArgs: {%q: x}}"},
			{"Model", "{model: a, engine: sglang, dynamoArgs: {%q: x}}"},
			{"Model", "{model: a, engineArgs: {unknown: {list: [{%q: x}]}}}"},
			{"Model", "{model: a, kvTransferConfig: {nested: {%q: x}}}"},
			{"Model", "{model: a, mode: disagg, prefill: {engineArgs: {%q: x}}, decode: {}}"},
			{"Model", "{model: a, mode: disagg, prefill: {}, decode: {kvTransferConfig: {%q: x}}}"},
		} {
			for _, spelling := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ToUpper(name)} {
				if found := judged(t, Default(), tc.kind, fmt.Sprintf(tc.spec, spelling)); len(found) != 1 {
					t.Errorf("%s in %s: %+v", spelling, tc.spec, found)
				}
			}
		}
	}
}

func TestRoom(t *testing.T) {
	p := parse(t, "limits: {gpus: 8, models: 2}\n")
	big, _ := specOf(t, "Model", "{model: a, replicas: 2, engineArgs: {tensor_parallel_size: 4}}")
	if got := UsageOf(big); got != (Usage{8, 1}) {
		t.Fatalf("usage %+v", got)
	}
	roles, _ := specOf(t, "Model", "{model: a, mode: disagg, prefill: {replicas: 2}, decode: {replicas: 1, engineArgs: {tensor_parallel_size: 2}}}")
	if got := UsageOf(roles); got != (Usage{4, 1}) {
		t.Fatalf("usage of roles %+v", got)
	}
	asleep, _ := specOf(t, "Model", "{model: a, replicas: 2, suspend: true}")
	if got := UsageOf(asleep); got != (Usage{0, 1}) {
		t.Fatalf("usage of a suspended one %+v", got)
	}
	for _, tc := range []struct {
		name                 string
		asks, before, others Usage
		want                 []string
	}{
		{"all of it", Usage{8, 1}, Usage{}, Usage{0, 1}, nil},
		{"one GPU too many", Usage{8, 1}, Usage{}, Usage{1, 1}, []string{"limits.gpus 8"}},
		{"one model too many", Usage{1, 1}, Usage{}, Usage{2, 2}, []string{"limits.models 2"}},
		{"no more than before, though all together is too much", Usage{6, 1}, Usage{7, 1}, Usage{9, 5}, nil},
		{"both", Usage{9, 1}, Usage{}, Usage{9, 9}, []string{"limits.models 2", "limits.gpus 8"}},
	} {
		var got []string
		for _, d := range p.Room(tc.asks, tc.before, tc.others) {
			got = append(got, d.Rule)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s:\n%s", tc.name, d)
		}
	}
	if found := Default().Room(Usage{1e6, 1}, Usage{}, Usage{1e6, 1e6}); found != nil || Default().HasLimits() {
		t.Errorf("without a limit: %+v", found)
	}
}

func TestManyDenialsAreCounted(t *testing.T) {
	var names []string
	for i := range 3 * state.MaxFaults {
		names = append(names, fmt.Sprintf("LD_%d: x", i))
	}
	found := judged(t, Default(), "Model", "{model: a, env: {"+strings.Join(names, ", ")+"}}")
	if len(found) != state.MaxFaults || !strings.HasSuffix(found[len(found)-1].Message, "and 40 more places are denied") {
		t.Errorf("%d: %s", len(found), found[len(found)-1].Message)
	}
}

func TestNoPolicyDeniesNothing(t *testing.T) {
	var none *Policy
	if m := judged(t, none, "Model", "{model: a, env: {LD_PRELOAD: x}}"); m != nil {
		t.Errorf("%+v", m)
	}
	if s := judged(t, none, "Server", "{env: {LD_PRELOAD: x}}"); s != nil || none.HasLimits() || none.Room(Usage{}, Usage{}, Usage{}) != nil {
		t.Errorf("%+v", s)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("LD_*", "LD_PRELOAD")
	f.Add("a*b*c", "abbc")
	f.Add("*", "")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if got, want := matches(pattern, text), slow(pattern, text); got != want {
			t.Errorf("%q fits %q: %v, want %v", pattern, text, got, want)
		}
	})
}

// slow is matches by trying everything.
func slow(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] != '*':
		return text != "" && text[0] == pattern[0] && slow(pattern[1:], text[1:])
	}
	return slow(pattern[1:], text) || text != "" && slow(pattern, text[1:])
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "env: {deny: [A]}\n"))
	f.Add([]byte(`{"apiVersion": "dynctl/v1alpha1", "kind": "Policy", "fromFile": {"roots": null}, "limits": {"gpus": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("fuzz", data)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if p != nil {
			p.Model(state.Model{Spec: state.ModelSpec{Model: "a", Env: state.Env{"A": {FromFile: "/x"}}}}.WithDefaults())
		}
	})
}
