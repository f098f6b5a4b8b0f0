package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Actions of lines between those of `go test`.
const (
	realAction   = "real"   // the tests after it run real programs, whose time is not theirs
	failedAction = "failed" // the command before it failed
)

// mostAgain is how many tests are run once more. When more have failed, something is
// broken, and not just late.
const mostAgain = 3

// test is a test of the top level, with all below it.
type test struct{ pkg, name string }

// command runs one test by itself, by what runs all of them, and writes what it says to out.
func command(all string) func(t test, out io.Writer) {
	return func(t test, out io.Writer) {
		cmd := exec.Command("sh", "-c", fmt.Sprintf("%s -count=1 -run '^%s$' %s", all, t.name, t.pkg))
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		_ = cmd.Run() // that it failed stands in what it wrote
	}
}

// again runs those that failed against real programs once more, each alone, and tells who
// passes only then. Nothing that is wrong at any time is run again: a data race, a panic,
// what does not build or was never finished, a skipped test.
func (s *summary) again(run func(test, io.Writer)) {
	failed := slices.DeleteFunc(slices.Collect(maps.Keys(s.results)), func(t test) bool { return s.results[t].failed == 0 })
	slices.SortFunc(failed, func(a, b test) int { return strings.Compare(a.pkg+a.name, b.pkg+b.name) })
	if s.final || s.broken > 0 || len(s.pending) > 0 || len(failed) > mostAgain {
		return
	}
	for _, t := range failed {
		fmt.Fprintf(s.out, "AGAIN: %s %s failed and is run once more, alone\n", t.pkg, t.name)
		r, w := io.Pipe()
		go func() {
			run(t, w)
			_ = w.Close()
		}()
		second := newSummary(s.out)
		second.read(r)
		if second.whole() && second.results[t].passed > 0 {
			s.results[t] = second.results[t]
			s.late = append(s.late, t)
		}
	}
}
