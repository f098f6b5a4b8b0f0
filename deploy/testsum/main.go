// Command testsum reads the output of `go test -json`, of several runs one after
// the other, and prints one line per package, all that a failed test said, and at
// the end the numbers. A skipped test counts as a failure: what cannot run has to
// say so and fail. With -again, a test against real programs that fails is run once
// more, and named if it passes then.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
	Elapsed    float64 // seconds
	Code       int     // of a command that failed
}

func main() {
	all := flag.String("again", "", "what runs the tests against real programs: those that fail are run by it once more")
	flag.Parse()
	s := newSummary(os.Stdout)
	s.read(os.Stdin)
	if *all != "" {
		s.again(command(*all))
	}
	if !s.close() {
		os.Exit(1)
	}
}

type counts struct{ passed, failed, skipped int }

type summary struct {
	out     io.Writer
	results map[test]counts
	broken  int // packages that failed outside of any test
	pending map[string]*strings.Builder
	failing map[string]bool // packages with a failed test
	real    bool            // real programs are run
	final   bool            // a failure is there that running again cannot mend
	late    []test          // those that passed only when they were run again
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, results: map[test]counts{}, pending: map[string]*strings.Builder{}, failing: map[string]bool{}}
}

// read takes all of in.
func (s *summary) read(in io.Reader) {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil || e.Action == "":
			_, _ = s.out.Write(line) // not an event: a message of the go command
		default:
			s.add(e)
		}
		if err != nil {
			return
		}
	}
}

func (s *summary) add(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case realAction:
		s.real = true
	case failedAction:
		if e.Code != 1 || len(s.failing) == 0 && s.broken == 0 { // 1 is that of go test when tests have failed
			s.broken++
			fmt.Fprintf(s.out, "a command ended with %d, and not by a test that failed\n", e.Code)
		}
	case "output":
		s.text(key).WriteString(e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.pkg(e, s.text(key).String())
		} else {
			s.test(e, s.text(key).String())
		}
		delete(s.pending, key)
	}
}

func (s *summary) text(key string) *strings.Builder {
	if s.pending[key] == nil {
		s.pending[key] = &strings.Builder{}
	}
	return s.pending[key]
}

func (s *summary) test(e event, output string) {
	name, _, _ := strings.Cut(e.Test, "/")
	t := test{e.Package, name}
	c := s.results[t]
	defer func() { s.results[t] = c }()
	switch e.Action {
	case "pass":
		c.passed++
		return
	case "skip":
		c.skipped++
		s.final = true
	case "fail":
		c.failed++
		s.final = s.final || !s.real || strings.Contains(output, "WARNING: DATA RACE") || strings.Contains(output, "panic: ")
	}
	s.failing[e.Package] = true
	fmt.Fprintf(s.out, "--- %s: %s %s (%.2f s)\n%s", strings.ToUpper(e.Action), e.Package, e.Test, e.Elapsed, output)
}

// pkg prints a package's line. A package without tests is no skipped test.
func (s *summary) pkg(e event, output string) {
	switch e.Action {
	case "skip":
	case "pass":
		fmt.Fprintf(s.out, "ok    %s (%.1f s)\n", e.Package, e.Elapsed)
	default:
		if !s.failing[e.Package] {
			s.broken++
		}
		fmt.Fprintf(s.out, "FAIL  %s (%.1f s)\n%s", e.Package, e.Elapsed, output)
	}
}

// total is the sum of all results, with what was never finished.
func (s *summary) total() counts {
	var sum counts
	for _, c := range s.results {
		sum.passed, sum.failed, sum.skipped = sum.passed+c.passed, sum.failed+c.failed, sum.skipped+c.skipped
	}
	for key := range s.pending {
		if !strings.HasSuffix(key, "\x00") {
			sum.failed++
		}
	}
	return sum
}

// whole reports whether all went well.
func (s *summary) whole() bool {
	c := s.total()
	return s.broken == 0 && c.failed == 0 && c.skipped == 0 && c.passed > 0
}

// close prints what was never finished, as after a crash, and the numbers; it reports
// whether all went well.
func (s *summary) close() bool {
	for _, key := range slices.Sorted(maps.Keys(s.pending)) {
		if pkg, test, _ := strings.Cut(key, "\x00"); test != "" {
			fmt.Fprintf(s.out, "--- UNFINISHED: %s %s\n%s\n", pkg, test, strings.TrimSpace(s.pending[key].String()))
		}
	}
	if s.broken > 0 {
		fmt.Fprintf(s.out, "%d packages or commands failed outside of a test\n", s.broken)
	}
	for _, t := range s.late {
		fmt.Fprintf(s.out, "UNSTEADY: %s %s passed only when it was run again: find out why\n", t.pkg, t.name)
	}
	c := s.total()
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	return s.whole()
}
