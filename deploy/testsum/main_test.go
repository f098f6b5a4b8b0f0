package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
	for _, tt := range []struct {
		name, in, last string
		ok             bool
	}{
		{"all passed", pass, "1 passed, 0 failed, 0 skipped", true},
		{"two runs add up", pass + pass, "2 passed, 0 failed, 0 skipped", true},
		{"a failed test shows what it said", `{"Action":"output","Package":"p","Test":"TestA","Output":"want 1\n"}` + "\n" +
			`{"Action":"fail","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"fail","Package":"p"}`, "0 passed, 1 failed, 0 skipped", false},
		{"a skipped test is a failure", pass + `{"Action":"skip","Package":"p","Test":"TestB"}`, "1 passed, 0 failed, 1 skipped", false},
		{"a package without tests is none", pass + `{"Action":"skip","Package":"q"}`, "1 passed, 0 failed, 0 skipped", true},
		{"a package that does not build", pass + `{"ImportPath":"q","Action":"build-output","Output":"syntax error\n"}` + "\n" +
			`{"Action":"fail","Package":"q"}`, "1 passed, 0 failed, 0 skipped", false},
		{"a test that never ended", pass + `{"Action":"output","Package":"p","Test":"TestC","Output":"=== RUN"}`, "1 passed, 1 failed, 0 skipped", false},
		{"a command that failed without a word", pass + `{"Action":"failed","Code":1}`, "1 passed, 0 failed, 0 skipped", false},
		{"nothing ran", "", "0 passed, 0 failed, 0 skipped", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			s := newSummary(&out)
			s.read(strings.NewReader(tt.in))
			ok := s.close()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.last || ok != tt.ok {
				t.Errorf("last line %q, ok %v; want %q, %v; all of it:\n%s", last, ok, tt.last, tt.ok, out.String())
			}
			if strings.Contains(tt.in, "want 1") && !strings.Contains(out.String(), "want 1") {
				t.Errorf("the output of the failed test is missing:\n%s", out.String())
			}
		})
	}
}
