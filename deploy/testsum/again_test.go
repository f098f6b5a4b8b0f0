package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestAgain(t *testing.T) {
	const (
		real   = `{"Action":"real"}` + "\n"
		end    = `{"Action":"fail","Package":"p"}` + "\n"
		b      = `{"Action":"pass","Package":"p","Test":"TestB"}` + "\n"
		passed = `{"Action":"pass","Package":"p","Test":"TestA/one"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		failed = `{"Action":"pass","Package":"p","Test":"TestA/one"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestA/two"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestA"}` + "\n"
	)
	says := func(what string) string {
		return `{"Action":"output","Package":"p","Test":"TestA","Output":"` + what + `\n"}` + "\n"
	}
	named := func(names ...string) (in string) {
		for _, name := range names {
			in += `{"Action":"fail","Package":"p","Test":"` + name + `"}` + "\n"
		}
		return in
	}
	for _, tt := range []struct {
		name, in, second string
		again            []string
		last             string
		ok               bool
	}{
		{"it passes", real + b + failed + end, passed, []string{"TestA"}, "3 passed, 0 failed, 0 skipped", true},
		{"it fails again", real + b + failed + end, failed + end, []string{"TestA"}, "2 passed, 2 failed, 0 skipped", false},
		{"it says nothing then", real + b + failed + end, "", []string{"TestA"}, "2 passed, 2 failed, 0 skipped", false},
		{"nothing failed", real + passed, passed, nil, "2 passed, 0 failed, 0 skipped", true},
		{"no real program is run", b + failed + end + real + passed, passed, nil, "4 passed, 2 failed, 0 skipped", false},
		{"a data race", real + says("WARNING: DATA RACE") + failed + end, passed, nil, "1 passed, 2 failed, 0 skipped", false},
		{"a panic", real + says("panic: nil") + failed + end, passed, nil, "1 passed, 2 failed, 0 skipped", false},
		{"beside a skipped one", real + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n" + failed + end, passed, nil, "1 passed, 2 failed, 1 skipped", false},
		{"beside one that never ended", real + strings.Replace(says("x"), "TestA", "TestB", 1) + failed, passed, nil, "1 passed, 3 failed, 0 skipped", false},
		{"a command that was killed", real + failed + end + `{"Action":"failed","Code":137}`, passed, nil, "1 passed, 2 failed, 0 skipped", false},
		{"beside a package that does not build", real + failed + end + `{"Action":"fail","Package":"q"}`, passed, nil, "1 passed, 2 failed, 0 skipped", false},
		{"three", real + named("TestA", "TestB", "TestC") + end, strings.ReplaceAll(passed, "TestA", "TestC"), []string{"TestA", "TestB", "TestC"}, "2 passed, 2 failed, 0 skipped", false},
		{"too many", real + named("TestA", "TestB", "TestC", "TestD") + end, passed, nil, "0 passed, 4 failed, 0 skipped", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			var again []string
			s := newSummary(&out)
			s.read(strings.NewReader(tt.in))
			s.again(func(t test, w io.Writer) {
				again = append(again, t.name)
				_, _ = io.WriteString(w, tt.second)
			})
			ok := s.close()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.last || ok != tt.ok || !slices.Equal(again, tt.again) {
				t.Errorf("last line %q, ok %v, again %q; want %q, %v, %q; all of it:\n%s", last, ok, again, tt.last, tt.ok, tt.again, out.String())
			}
			if told := strings.Contains(out.String(), "UNSTEADY: p TestA passed only"); told != (tt.ok && tt.again != nil) {
				t.Errorf("told as unsteady: %v; all of it:\n%s", told, out.String())
			}
		})
	}
}
