package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// suite is a package with those of its benchmarks that are measured.
type suite struct {
	pkg, pattern, benchtime string
	// once: in the first run alone, this often; 0: in each.
	once int
}

// suites are what is measured, of so many runs. A fleet of 100 is but a point of a picture; to
// make what one more model is accepted beside takes longer than to accept it, so all runs of
// that are one process.
func suites(runs int) []suite {
	return []suite{
		{"./cmd/reconciler/app", `^BenchmarkChange$/^models=1$`, "1x", 0},
		{"./cmd/reconciler/app", `^BenchmarkChange$/^models=100$`, "1x", 1},
		{"./cmd/reconciler/app", `^BenchmarkChange$/^models=1000$`, "1x", 0},
		{"./cmd/reconciler/app", `^BenchmarkLarge$/^models=10000$`, "1x", 0},
		{"./actors/plan", `^BenchmarkPlanner$/^accept$/^one-more$`, "100ms", runs},
	}
}

// acceptance is the figure of the benchmark that has no name of its own for it.
const acceptance = "accept-one-more-ms"

// fleets runs the benchmarks of the reconciler and of the planner with fleets of several
// sizes. Each run of a reconciler is a process of its own, so that none inherits a heap.
func fleets(ctx context.Context, cfg config, keep keeper) error {
	m, err := describe()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dynctl-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	built := map[string]string{}
	for _, s := range suites(cfg.runs) {
		if built[s.pkg] != "" {
			continue
		}
		built[s.pkg] = filepath.Join(dir, filepath.Base(s.pkg)+".test")
		if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", built[s.pkg], s.pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("go test -c %s: %w\n%s", s.pkg, err, out)
		}
	}
	for run := range cfg.runs {
		for _, s := range suites(cfg.runs) {
			if s.once > 0 && run > 0 {
				continue
			}
			fmt.Fprintf(os.Stderr, "bench: run %d of %d: %s %s\n", run+1, cfg.runs, s.pkg, s.pattern)
			if err := m.runSuite(ctx, built[s.pkg], s); err != nil {
				return err
			}
			m.load()
			if err := keep(m); err != nil {
				return err
			}
			m = m.empty()
		}
	}
	return nil
}

// runSuite runs benchmarks in the directory of their package, and takes each as it ends.
func (m *measured) runSuite(ctx context.Context, program string, s suite) error {
	cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", s.pattern, "-test.benchtime", s.benchtime,
		"-test.count", strconv.Itoa(max(s.once, 1)), "-test.timeout", "30m")
	cmd.Dir, cmd.Stderr = s.pkg, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if m.takeBenchmark(lines.Text()) {
			fmt.Fprintln(os.Stderr, "bench:", strings.Fields(lines.Text())[0], "is measured")
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", s.pkg, s.pattern, err, said.String())
	}
	return nil
}

var (
	fleetLine      = regexp.MustCompile(`^Benchmark(?:Change|Large)/models=(\d+)(?:-\d+)?$`)
	acceptanceLine = regexp.MustCompile(`^BenchmarkPlanner/accept/one-more/models=(\d+)(?:-\d+)?$`)
)

// takeBenchmark reads a line of what a benchmark prints; false: it is none.
func (m *measured) takeBenchmark(line string) bool {
	words := strings.Fields(line)
	if len(words) < 4 {
		return false
	}
	fleet, accept := fleetLine.FindStringSubmatch(words[0]), acceptanceLine.FindStringSubmatch(words[0])
	if fleet == nil && accept == nil {
		return false
	}
	for i := 2; i+1 < len(words); i += 2 {
		value, err := strconv.ParseFloat(words[i], 64)
		switch unit := words[i+1]; {
		case err != nil:
		case fleet != nil && unit != "ns/op":
			m.note(unit, fleet[1], value)
		case accept != nil && unit == "ns/op":
			m.note(acceptance, accept[1], value/1e6)
		}
	}
	return true
}
