package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const docs = "../../docs"

// What the pages show is what was measured: the pictures and the table of the record.
func TestThePagesShowTheRecord(t *testing.T) {
	r, err := readRecord(filepath.Join(docs, "benchmarks.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{partRay, partFleet} {
		if len(r.Parts[part].Figures) == 0 {
			t.Errorf("nothing is recorded of %s", part)
		}
	}
	want := r.pictures()
	want["../benchmarks.md"] = r.table()
	for name, text := range want {
		file := filepath.Join(docs, "img", name)
		has, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(has), text) {
			t.Errorf("%s does not show docs/benchmarks.json (%v): make bench-pictures", file, err)
		}
	}
}

func TestTheTableGoesWhereThePageHasIt(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := record{Parts: map[string]measured{partRay: {Figures: map[string]map[string][]float64{"roll": {"ours": {3000, 1000, 2000}}}}}}
	write("before\n" + tableBegins + "old\n" + tableEnds + "after\n")
	if err := r.intoPage(page); err != nil {
		t.Fatal(err)
	}
	has, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(has), "2.00 s (1.00 to 3.00)") || strings.Contains(string(has), "old") ||
		!strings.HasPrefix(string(has), "before\n") || !strings.HasSuffix(string(has), "after\n") {
		t.Errorf("%v:\n%s", err, has)
	}
	write("a page without a place for it\n")
	if err := r.intoPage(page); err == nil {
		t.Error("no error where there is no place for the table")
	}
}

func TestBenchmarksAreRead(t *testing.T) {
	m := measured{Figures: map[string]map[string][]float64{}}
	m.takeBenchmarks([]byte("goos: linux\n" +
		"BenchmarkPlanner/plan/again/steady/models=1000-2         \t 80\t 2500000 ns/op\t 430000 B/op\t 770 allocs/op\n" +
		"BenchmarkPlanner/plan/again/steady/models=1000           \t 80\t 3500000 ns/op\n" +
		"BenchmarkPlanner/plan/again/cold/models=1000-2           \t 80\t 9000000 ns/op\n" +
		"BenchmarkChange/models=100-2 \t 1\t 0 ns/op\t 21.5 put-cpu-ms\t 3.7 exit-start-p50-ms\nPASS\n"))
	for what, want := range map[string]float64{curves[0].says: 3.7, curves[1].says: 21.5, curves[3].says: 3} {
		size := "100"
		if want == 3 {
			size = "1000"
		}
		if got := median(m.Figures[what][size]); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if len(m.Figures) != 3 {
		t.Errorf("%d figures were read, want 3: %v", len(m.Figures), m.Figures)
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
