// Command testsum reads the output of `go test -json`, of several runs one after
// the other, and prints one line per package, all that a failed test said, and at
// the end the numbers. A skipped test counts as a failure: what cannot run has to
// say so and fail.
package main

import (
	"bufio"
	"encoding/json"
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
}

func main() {
	if !summarize(os.Stdin, os.Stdout) {
		os.Exit(1)
	}
}

type counts struct{ passed, failed, skipped int }

type summary struct {
	out     io.Writer
	tests   counts
	broken  int // packages that failed outside of any test
	pending map[string]*strings.Builder
	failing map[string]bool // packages with a failed test
}

// summarize reports whether all went well.
func summarize(in io.Reader, out io.Writer) bool {
	s := summary{out: out, pending: map[string]*strings.Builder{}, failing: map[string]bool{}}
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil || e.Action == "":
			_, _ = out.Write(line) // not an event: a message of the go command
		default:
			s.add(e)
		}
		if err != nil {
			break
		}
	}
	return s.close()
}

func (s *summary) add(e event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
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
	switch e.Action {
	case "pass":
		s.tests.passed++
		return
	case "skip":
		s.tests.skipped++
	case "fail":
		s.tests.failed++
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

// close prints what was never finished, as after a crash, and the numbers.
func (s *summary) close() bool {
	for _, key := range slices.Sorted(maps.Keys(s.pending)) {
		if pkg, test, _ := strings.Cut(key, "\x00"); test != "" {
			s.tests.failed++
			fmt.Fprintf(s.out, "--- UNFINISHED: %s %s\n%s\n", pkg, test, strings.TrimSpace(s.pending[key].String()))
		}
	}
	if s.broken > 0 {
		fmt.Fprintf(s.out, "%d packages failed outside of a test\n", s.broken)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.tests.passed, s.tests.failed, s.tests.skipped)
	return s.broken == 0 && s.tests.failed == 0 && s.tests.skipped == 0 && s.tests.passed > 0
}
