package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// curve is a figure over the size of the fleet: what a benchmark tells, in which unit.
type curve struct {
	says, benchmark, unit string
	perMs                 float64 // how many of the unit are a ms
}

var curves = []curve{
	{"one exit, to the next start command", "Change", "exit-start-p50-ms", 1},
	{"one put, CPU of the whole process", "Change", "put-cpu-ms", 1},
	{"plan of a fleet at rest, as a whole", "Planner/plan/whole/steady", "ns/op", 1e6},
	{"the same, with what is remembered", "Planner/plan/again/steady", "ns/op", 1e6},
	{"acceptance of one more model", "Planner/accept/one-more", "ns/op", 1e6},
}

// benchmarks are the packages with what they measure, each with how long it is run.
var benchmarks = [][]string{
	{"./cmd/reconciler/app", "Change", "1x"},
	{"./actors/plan", "^BenchmarkPlanner$/^(plan|accept)$/^(whole|again|one-more)$/(steady|models)", "100ms"},
}

// fleets runs the benchmarks of the planner and of the reconciler with fleets of several
// sizes, and takes from them what the picture shows.
func fleets(ctx context.Context, cfg config, keep func(measured) error) error {
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(setup.RunDir); _ = os.RemoveAll(setup.TempDir) }()
	m, err := describe(setup)
	if err != nil {
		return err
	}
	for _, b := range benchmarks {
		fmt.Fprintln(os.Stderr, "bench-peer: go test -bench", b[1], b[0])
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", b[1], "-benchtime", b[2], "-count", strconv.Itoa(cfg.runs), "-timeout", "30m", b[0])
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("go test %s: %w\n%s", b[0], err, out)
		}
		m.takeBenchmarks(out)
	}
	m.load()
	return keep(m)
}

var benchmarkLine = regexp.MustCompile(`^Benchmark(.*)/models=(\d+)(?:-\d+)?$`)

// takeBenchmarks reads what `go test -bench` prints, as far as a curve wants it.
func (m *measured) takeBenchmarks(out []byte) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 4 {
			continue
		}
		found := benchmarkLine.FindStringSubmatch(words[0])
		if found == nil {
			continue
		}
		for i := 2; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			for _, c := range curves {
				if err == nil && c.benchmark == found[1] && c.unit == words[i+1] {
					m.note(c.says, found[2], value/c.perMs)
				}
			}
		}
	}
}
