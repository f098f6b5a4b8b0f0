//go:build lint

package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rule is a file that breaks a rule of the project, put into an otherwise empty module of
// the same name, or one that breaks none.
type rule struct {
	name, file, code string
	want             string // in the linter's output; empty: the file is fine
}

// fires wants the linter to find what the rows say.
func fires(t *testing.T, rows []rule) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	linter := filepath.Join(root, "bin", "golangci-lint")
	if _, err := os.Stat(linter); err != nil {
		t.Fatalf("%v; run `make bin/golangci-lint`", err)
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := lint(t, linter, filepath.Join(root, ".golangci.yml"), tt.file, tt.code)
			if tt.want == "" && !strings.Contains(out, "0 issues") {
				t.Errorf("want no issue, got:\n%s", out)
			}
			if !strings.Contains(out, tt.want) {
				t.Errorf("want %q in:\n%s", tt.want, out)
			}
		})
	}
}

func TestLintOfPurePackages(t *testing.T) {
	fires(t, []rule{
		{"state may not read a file", "state/x.go", imports("state", "os"), "import 'os' is not allowed"},
		{"state may not log", "state/x.go", imports("state", "log/slog"), "import 'log/slog' is not allowed"},
		{"state may not take a context", "state/x.go", imports("state", "context"), "import 'context' is not allowed"},
		{"state may import the parsers", "state/x.go", imports("state", "dynctl/state/engineflags"), ""},
		{"the parsers import nothing of ours", "state/engineflags/x.go", imports("engineflags", "dynctl/state"), "import 'dynctl/state' is not allowed"},
		{"the policy may import state", "state/policy/x.go", imports("policy", "dynctl/state"), ""},
		{"what compares memory imports nothing of ours", "state/same/x.go", imports("same", "dynctl/state"), "import 'dynctl/state' is not allowed"},
		{"the policy reads no file", "state/policy/x.go", imports("policy", "os"), "import 'os' is not allowed"},
		{"state may not import router", "state/x.go", imports("state", "dynctl/router"), "import 'dynctl/router' is not allowed"},
		{"router may not import actors", "router/x.go", imports("router", "dynctl/actors"), "import 'dynctl/actors' is not allowed"},
		{"router may not use the network", "router/x.go", imports("router", "net"), "import 'net' is not allowed"},
		{"router may import state", "router/x.go", imports("router", "dynctl/state"), ""},
		{"a pure package may not ask the time", "actors/x.go", clock("actors", "Now()"), "use of `time.Now` forbidden"},
		{"a pure package may not sleep", "state/x.go", clock("state", "Tick(1)"), "use of `time.Tick` forbidden"},
	})
}

func TestLintOfThePlannersRooms(t *testing.T) {
	fires(t, []rule{
		{"actors may not import an adapter", "actors/x.go", imports("actors", "dynctl/actors/ray"), "import 'dynctl/actors/ray' is not allowed"},
		{"actors may not use randomness", "actors/x.go", imports("actors", "math/rand/v2"), "import 'math/rand/v2' is not allowed"},
		{"actors may import state", "actors/x.go", imports("actors", "dynctl/state"), ""},
		{"the vocabulary may not import what decides", "actors/x.go", imports("actors", "dynctl/actors/place"), "import 'dynctl/actors/place' is not allowed"},
		{"placement may not import rendering", "actors/place/x.go", imports("place", "dynctl/actors/render"), "import 'dynctl/actors/render' is not allowed"},
		{"placement may not ask the time", "actors/place/x.go", clock("place", "Now()"), "use of `time.Now` forbidden"},
		{"rendering may import placement", "actors/render/x.go", imports("render", "dynctl/actors", "dynctl/actors/place", "dynctl/router"), ""},
		{"rendering may not import acceptance", "actors/render/x.go", imports("render", "dynctl/actors/accept"), "import 'dynctl/actors/accept' is not allowed"},
		{"rendering may not read a file", "actors/render/x.go", imports("render", "os"), "import 'os' is not allowed"},
		{"acceptance may import rendering", "actors/accept/x.go", imports("accept", "dynctl/actors/render"), ""},
		{"acceptance may not place", "actors/accept/x.go", imports("accept", "dynctl/actors/place"), "import 'dynctl/actors/place' is not allowed"},
		{"acceptance may not plan", "actors/accept/x.go", imports("accept", "dynctl/actors/plan"), "import 'dynctl/actors/plan' is not allowed"},
		{"acceptance may not ask the time", "actors/accept/x.go", clock("accept", "Now()"), "use of `time.Now` forbidden"},
		{"offline goes through acceptance, placement and rendering", "actors/offline/x.go", imports("offline", "dynctl/actors/accept", "dynctl/actors/place", "dynctl/actors/render"), ""},
		{"offline may not plan", "actors/offline/x.go", imports("offline", "dynctl/actors/plan"), "import 'dynctl/actors/plan' is not allowed"},
		{"the planner may place and render", "actors/plan/x.go", imports("plan", "dynctl/actors/place", "dynctl/actors/render"), ""},
		{"the planner may not see its world", "actors/plan/x.go", imports("plan", "dynctl/actors/world"), "import 'dynctl/actors/world' is not allowed"},
		{"the world does not plan", "actors/world/x.go", imports("world", "dynctl/actors/plan"), "import 'dynctl/actors/plan' is not allowed"},
		{"the world has no clock", "actors/world/x.go", clock("world", "Now()"), "import 'time' is not allowed"},
		{"the planner may not accept", "actors/plan/x.go", imports("plan", "dynctl/actors/accept"), "import 'dynctl/actors/accept' is not allowed"},
		{"actors may not import the planner", "actors/x.go", imports("actors", "dynctl/actors/plan"), "import 'dynctl/actors/plan' is not allowed"},
		{"the planner may not import an adapter", "actors/plan/x.go", imports("plan", "dynctl/actors/ray"), "import 'dynctl/actors/ray' is not allowed"},
		{"the planner may not ask the time", "actors/plan/x.go", clock("plan", "Now()"), "use of `time.Now` forbidden"},
		{"the planner may import actors and state", "actors/plan/x.go", imports("plan", "dynctl/actors", "dynctl/state"), ""},
	})
}

func TestLintOfAdaptersAndPrograms(t *testing.T) {
	fires(t, []rule{
		{"an adapter may ask the time", "actors/ray/x.go", clock("ray", "Now()"), ""},
		{"state/kv may not import state/registry", "state/kv/x.go", imports("kv", "dynctl/state/registry"), "state/kv and state/registry import state, state/roles, state/sorted and events/batches alone"},
		{"state/registry may not import actors", "state/registry/x.go", imports("registry", "dynctl/actors"), "state/kv and state/registry import state, state/roles, state/sorted and events/batches alone"},
		{"state/kv may import state", "state/kv/x.go", imports("kv", "dynctl/state"), ""},
		{"actors/ray may not import state/kv", "actors/ray/x.go", imports("ray", "dynctl/state/kv"), "actors/ray imports actors and state alone"},
		{"actors/simray may not import state/kv", "actors/simray/x.go", imports("simray", "dynctl/state/kv"), "actors/simray imports actors and state alone"},
		{"state/kv may import batches", "state/kv/x.go", imports("kv", "dynctl/events/batches"), ""},
		{"batches may not import state", "events/batches/x.go", imports("batches", "dynctl/state"), "events imports no other package"},
		{"events may not import state", "events/x.go", imports("events", "dynctl/state"), "events imports no other package"},
		{"convert may not import doctor", "cmd/dynctl/internal/convert/x.go", imports("convert", "dynctl/cmd/dynctl/internal/doctor"), "knows no other verb's"},
		{"doctor may import the exit codes", "cmd/dynctl/internal/doctor/x.go", imports("doctor", "dynctl/cmd/dynctl/internal/exit"), ""},
		{"nothing imports cmd", "integration/x.go", imports("integration", "dynctl/cmd/tool"), "nothing imports cmd"},
		{"deploy links none of ours", "deploy/x.go", imports("deploy", "dynctl/state"), "it does not link them"},
	})
}

func TestLintOfCode(t *testing.T) {
	fires(t, []rule{
		{"what is exported has a comment", "events/x.go", "// Package events is a test.\npackage events\n\nfunc Bare() {}\n", "exported: exported function Bare should have comment"},
		{"errors are compared with errors.Is", "events/x.go", "// Package events is a test.\npackage events\n\nimport \"io\"\n\n// End reports whether err is io.EOF.\nfunc End(err error) bool { return err == io.EOF }\n", "errorlint"},
		{"a function has at most 60 lines", "events/x.go", long(plain, 60), ""},
		{"a longer one is split", "events/x.go", long(plain, 61), "(funlen)"},
		{"so is a test", "events/x_test.go", long(plain, 61), "(funlen)"},
		{"so is one behind a build tag", "events/x_test.go", long(behindTag, 61), "(funlen)"},
		{"at most 14 branches", "events/x_test.go", winding(14), ""},
		{"more are split", "events/x_test.go", winding(15), "(gocyclo)"},
	})
}

// packages are the stubs that the files under test import.
var packages = map[string]string{
	"state": "state", "state/engineflags": "engineflags", "state/policy": "policy", "state/same": "same", "router": "router", "actors": "actors", "events": "events", "events/batches": "batches", "state/kv": "kv",
	"actors/place": "place", "actors/render": "render", "actors/accept": "accept", "actors/offline": "offline", "actors/plan": "plan", "actors/world": "world",
	"state/registry": "registry", "actors/ray": "ray", "actors/simray": "simray", "cmd/tool": "tool",
	"cmd/dynctl/internal/exit": "exit", "cmd/dynctl/internal/doctor": "doctor",
}

func imports(pkg string, paths ...string) string {
	code := "// Package " + pkg + " is a test.\npackage " + pkg + "\n\nimport (\n"
	for _, p := range paths {
		code += "\t_ \"" + p + "\"\n"
	}
	return code + ")\n"
}

func clock(pkg, call string) string {
	return "// Package " + pkg + " is a test.\npackage " + pkg + "\n\nimport \"time\"\n\nvar _ = time." + call + "\n"
}

// long is a file with a function of a number of lines between its braces.
func long(head string, lines int) string {
	return head + "\tx := 1\n" + strings.Repeat("\tx++\n", lines-2) + "\treturn x\n}\n"
}

// winding is one with a number of branches.
func winding(branches int) string {
	return plain + "\tx := 1\n" + strings.Repeat("\tif x > 0 {\n\t\tx++\n\t}\n", branches) + "\treturn x\n}\n"
}

const (
	plain     = "// Package events is a test.\npackage events\n\n// Count counts.\nfunc Count() int {\n"
	behindTag = "//go:build integration\n\n" + plain
)

// lint runs the linter on one file and returns what it prints.
func lint(t *testing.T, linter, config, file, code string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Rules name paths relative to the file that holds them.
	rules, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(".golangci.yml", string(rules))
	write("go.mod", "module dynctl\n\ngo 1.26.0\n")
	for path, name := range packages {
		write(path+"/doc.go", "// Package "+name+" is a stub.\npackage "+name+"\n")
	}
	write(file, code)
	cmd := exec.Command(linter, "run", "--allow-parallel-runners", "./"+filepath.Dir(file))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}
