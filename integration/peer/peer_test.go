package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const docs = "../../docs"

// What the pages show is what was measured: the pictures and the table of the record.
func TestThePagesShowTheRecord(t *testing.T) {
	file := filepath.Join(docs, "benchmarks.json")
	r, err := readRecord(file, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if len(r.Parts[p.name].Figures) == 0 {
			t.Errorf("nothing is recorded of %s", p.name)
		}
	}
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for at, table := range r.tables() {
		if !strings.Contains(string(page), at.begins+table+"\n"+at.ends) {
			t.Errorf("docs/benchmarks.md does not show docs/benchmarks.json below %q: make bench-pictures", at.begins)
		}
	}
	for name, text := range r.pictures() {
		file := filepath.Join(docs, "img", name)
		has, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(has), text) {
			t.Errorf("%s does not show docs/benchmarks.json (%v): make bench-pictures", file, err)
		}
	}
}

func TestTheTablesGoWhereThePageHasThem(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := record{Parts: map[string]measured{partRay: {Figures: map[string]map[string][]float64{"roll": {"ours": {3000, 1000, 2000}}}}}}
	text := "before\n"
	for at := range r.tables() {
		text += at.begins + "stale\n" + at.ends + "between\n"
	}
	write(text)
	if err := r.intoPage(page); err != nil {
		t.Fatal(err)
	}
	has, err := os.ReadFile(page)
	if err != nil || strings.Count(string(has), "2.00 s (1.00 to 3.00)") != 2 || strings.Contains(string(has), "stale") ||
		!strings.HasPrefix(string(has), "before\n") || strings.Count(string(has), "between\n") != len(r.tables()) {
		t.Errorf("%v:\n%s", err, has)
	}
	write("a page without a place for it\n")
	if err := r.intoPage(page); err == nil {
		t.Error("no error where there is no place for the table")
	}
}

func TestAPercentileOfALoad(t *testing.T) {
	for _, x := range []struct {
		of   []float64
		p    float64
		want float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{1, 2, 3, 4}, 0.5, 3}, {[]float64{1, 2, 3, 4}, 0.99, 4}} {
		if got := nearest(x.of, x.p); got != x.want {
			t.Errorf("nearest(%v, %v) = %v, want %v", x.of, x.p, got, x.want)
		}
	}
}

func TestBenchmarksAreRead(t *testing.T) {
	m := measured{Figures: map[string]map[string][]float64{}}
	for _, line := range []string{
		"goos: linux",
		"BenchmarkPlanner/accept/one-more/models=1000-2         \t 80\t 2500000 ns/op\t 430000 B/op\t 770 allocs/op",
		"BenchmarkPlanner/accept/one-more/models=1000           \t 80\t 3500000 ns/op",
		"BenchmarkPlanner/accept/again/models=1000-2            \t 80\t 9000000 ns/op",
		"BenchmarkChange/models=100-2 \t 1\t 0 ns/op\t 21.5 put-cpu-ms\t 3.7 exit-start-p50-ms",
		"BenchmarkLarge/models=10000-2 \t 1\t 0 ns/op\t 41.5 put-cpu-ms",
		"PASS",
	} {
		m.takeBenchmark(line)
	}
	want := map[string]map[string][]float64{
		acceptance: {"1000": {2.5, 3.5}}, "put-cpu-ms": {"100": {21.5}, "10000": {41.5}}, "exit-start-p50-ms": {"100": {3.7}},
	}
	if diff := cmp.Diff(want, m.Figures); diff != "" {
		t.Errorf("what was read (-want +got):\n%s", diff)
	}
}

// What stands in a row follows from the record alone.
func TestGoalsAreJudged(t *testing.T) {
	r := record{Parts: map[string]measured{partRay: {Figures: map[string]map[string][]float64{"start-1": {"ours": {5000, 5100, 4900}, "floor": {4500}, "peer": {9000}}}}}}
	g := goal{figure: rayOf("start-1", "ours"), unit: inSeconds, floor: rayOf("start-1", "floor"), peer: rayOf("start-1", "peer"), mostOfFloor: 1.15, mostOfPeer: 0.6}
	if floor, ratios := g.beside(r); floor != "4.50 s, 9.00 s (peer)" || ratios != "1.11, 0.56 (peer)" {
		t.Errorf("beside it stand %q and %q", floor, ratios)
	}
	for _, x := range []struct {
		mostOfPeer float64
		floor      figure
		want       string
	}{
		{0.6, g.floor, "yes"},
		{0.5, g.floor, "no: of that"},
		{0.6, rayOf("start-1", "nobody"), "not known: nothing was measured beside it"},
	} {
		g.mostOfPeer, g.floor, g.why = x.mostOfPeer, x.floor, func(record) string { return "of that" }
		if got := g.verdict(r); got != x.want {
			t.Errorf("%v of the peer beside %v: %q, want %q", x.mostOfPeer, x.floor, got, x.want)
		}
	}
	if row := (record{}).reach(); strings.Contains(row, "yes") || !strings.Contains(row, "not measured yet") {
		t.Errorf("of an empty record:\n%s", row)
	}
}

// Beside fewer actors than the goal has nothing is reached, and what it grows by is said.
func TestTheAgentIsNotJudgedByFewActors(t *testing.T) {
	agent := func(of map[string][]float64) record {
		return record{Parts: map[string]measured{partAgent: {Figures: map[string]map[string][]float64{agentCPU: of}}}}
	}
	few := agent(map[string][]float64{"10": {0.5}, "40": {0.8}})
	if got := few.agentGoal().verdict(few); !strings.HasPrefix(got, "not measured with 200") || !strings.Contains(got, "2.40 % with 200") {
		t.Errorf("of 10 and 40 actors: %q", got)
	}
	all := agent(map[string][]float64{"50": {0.5}, "200": {1.9}})
	if got := all.agentGoal().verdict(all); got != "yes" {
		t.Errorf("of 200 actors: %q", got)
	}
}

func TestTheMedianRunIsDrawn(t *testing.T) {
	m := measured{
		Figures:   map[string]map[string][]float64{"start-1": {"ours": {900, 2000, 1500}}},
		Timelines: []timeline{{What: "start-1", Who: "ours", Ms: 900}, {What: "start-1", Who: "ours", Ms: 2000}, {What: "start-1", Who: "ours", Ms: 1500}, {What: "put", Who: "ours", Ms: 1501}},
	}
	if got, found := m.typical("start-1", "ours"); !found || got.Ms != 1500 {
		t.Errorf("%v, %v, want the run of 1500 ms", got.Ms, found)
	}
	if picture := m.drawStart("start-1"); !strings.Contains(picture, "1.50 s") || !strings.Contains(picture, "prefers-color-scheme") {
		t.Errorf("the picture:\n%s", picture)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("the median of an even number: %v", got)
	}
}

// A process's start is told by the kernel in ticks since the machine's boot.
func TestWhenAProcessBegan(t *testing.T) {
	own, err := statOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	now, err := sinceBoot()
	if err != nil {
		t.Fatal(err)
	}
	if own.parent != os.Getppid() || own.started > now || own.started < now-time.Hour {
		t.Errorf("parent %d, want %d; started %s after the boot, and it is %s", own.parent, os.Getppid(), own.started, now)
	}
}

func TestRoles(t *testing.T) {
	for command, want := range map[string]string{
		"/repo/bin/etcd --listen-client-urls http://0.0.0.0:1": "etcd",
		"nats-server -p 4222 -js":                              "NATS",
		"/v/bin/python -m dynamo.frontend --http-port 1":       "frontend",
		"/v/bin/python -m dynamo.mocker --model-path /m":       "worker",
		"/v/bin/python3.11 -m dynamo.vllm --model /m":          "worker",
		"ray::IDLE": "",
		"/repo/bin/reconciler --data-dir /d --bin-dir /repo/etcd": "",
	} {
		if got := roleOf(command); got != want {
			t.Errorf("%q is %q, want %q", command, got, want)
		}
	}
}
