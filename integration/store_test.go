//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// specKey is the key of a model in the spec bucket.
func (s *Server) specKey(model string) string { return "model." + s.Name + "." + model }

// put writes straight into the spec bucket, with the plain protocol of NATS.
func (s *Server) put(model, document string) (revision uint64) {
	s.t.Helper()
	_, js := s.Env.connect(s.t)
	ack, err := js.Publish(s.t.Context(), "$KV.dynctl_specs."+s.specKey(model), []byte(document))
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Sequence
}

// deleteRaw writes a plain delete marker, which says nothing of dynctl.
func (s *Server) deleteRaw(models ...string) {
	s.t.Helper()
	_, js := s.Env.connect(s.t)
	for _, m := range models {
		msg := &nats.Msg{Subject: "$KV.dynctl_specs." + s.specKey(m), Header: nats.Header{"KV-Operation": {"DEL"}}}
		if _, err := js.PublishMsg(s.t.Context(), msg); err != nil {
			s.t.Fatal(err)
		}
	}
}

// natsPy runs the Python program that knows NATS alone, as a publisher of this server.
func (s *Server) natsPy(verb, model, document string) {
	s.t.Helper()
	url := strings.TrimSpace(s.Dynctl("creds", "add", "publisher", "--name", "nats-py", "--password", "--out", "-"))
	defer s.Env.run(s.t, "", "creds", "rm", "nats-py")
	cmd := exec.Command(filepath.Join(s.Env.cfg.Venv, "bin", "python"), filepath.Join("testdata", "store_put.py"), url, verb, s.specKey(model))
	cmd.Stdin = strings.NewReader(document)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("store_put.py %s: %v\n%s", verb, err, out)
	}
}

// hold is how long a delete is held that dynctl did not make.
const hold = 10 * time.Second

// TestAnotherProgramDeclares: whoever may write into the bucket declares models,
// in Go and in Python alike; a plain delete is held, then acted on.
func TestAnotherProgramDeclares(t *testing.T) {
	s := serving(t)
	s.put("go", s.Mocker("go", 1))
	s.natsPy("put", "py", s.Mocker("py", 1))
	s.Wait("go", "Ready", readyIn)
	s.Wait("py", "Ready", readyIn)
	s.Chat("go", "hello", 4)
	s.Chat("py", "hello", 4)

	units := s.executions("py")
	s.natsPy("delete", "py", "")
	deleted := time.Now()
	time.Sleep(hold - 2*time.Second)
	requireNoRestart(t, units, s.executions("py"))
	s.Chat("py", "still there?", 4)
	if c := s.Reason("py", "UpToDate"); c != "DeletionHeld" {
		t.Errorf("UpToDate has reason %q while the delete is held, want DeletionHeld", c)
	}
	s.Wait("py", "deleted", time.Minute)
	stops := s.facts("stop")
	i := slices.IndexFunc(stops, func(f fact) bool { return f.Model == "py" })
	if i < 0 {
		t.Fatalf("no stop of py among %+v", stops)
	}
	if held := stops[i].at.Sub(deleted); held < hold-time.Second || held > hold+time.Second {
		t.Errorf("the delete was held for %s, want %s", held, hold)
	}
	s.Chat("go", "still there?", 4)
	s.Delete("model/go")
	s.Wait("go", "deleted", time.Minute)
}

// TestBadSpecChangesNothing: a spec that cannot be, put straight into the bucket,
// is told with its reason; what was accepted before runs on, and nothing is lost.
func TestBadSpecChangesNothing(t *testing.T) {
	s := serving(t)
	good := s.put("edited", s.Mocker("edited", 1))
	t.Cleanup(func() { s.Delete("model/edited"); s.Wait("edited", "deleted", time.Minute) })
	s.Wait("edited", "Ready", readyIn)
	before := s.executions("", "plain", "edited")
	var bad uint64
	for _, tc := range []struct{ name, document, reason string }{
		{"out of range", strings.Replace(s.Mocker("edited", 1), "replicas: 1", "replicas: -1", 1), "NegativeCount"},
		{"unknown field", strings.Replace(s.Mocker("edited", 1), "replicas: 1", "replica: 2", 1), "InvalidSpec"},
		{"not YAML", "{]", "InvalidSpec"},
		{"another object", s.Mocker("somebody", 1), "KeyMismatch"},
		{"served name of another", strings.Replace(s.Mocker("edited", 1), "servedName: edited", "servedName: plain", 1), "DuplicateServedName"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad = s.put("edited", tc.document)
			Eventually(t, 5*time.Second, "the revision is judged", func() bool { return s.Status("edited").ObservedRevision == bad })
			if got := s.condition("edited", "Accepted"); got != "False "+tc.reason {
				t.Errorf("Accepted is %s, want False %s", got, tc.reason)
			}
			if got := s.Status("edited").AcceptedRevision; got != good {
				t.Errorf("accepted revision %d, want %d as before", got, good)
			}
			var told []fact
			Eventually(t, 5*time.Second, "spec-rejected is told", func() bool {
				told = slices.DeleteFunc(s.facts("spec-rejected"), func(f fact) bool { return f.SpecRevision != bad })
				return len(told) > 0
			})
			if len(told) != 1 || told[0].Reason != tc.reason || told[0].Message == "" {
				t.Errorf("told %+v, want it once, with reason %s", told, tc.reason)
			}
			s.Chat("edited", "still there?", 4)
		})
	}
	requireNoRestart(t, before, s.executions("", "plain", "edited"))
	if got := s.condition("edited", "Available"); !strings.HasPrefix(got, "True") {
		t.Errorf("Available is %s", got)
	}
	var revisions []struct {
		Revision uint64
		Running  bool
	}
	decode(t, s.Dynctl("history", "model/edited", "-o", "json"), &revisions)
	var have []uint64
	for _, r := range revisions {
		have = append(have, r.Revision)
		if r.Running != (r.Revision == good) {
			t.Errorf("history says of revision %d running=%v", r.Revision, r.Running)
		}
	}
	if len(have) != 6 || have[0] != good || have[5] != bad {
		t.Errorf("history has the revisions %v, want %d to %d, 6 in all", have, good, bad)
	}
	s.put("edited", s.Mocker("edited", 1))
	s.Wait("edited", "Ready", readyIn)
	requireNoRestart(t, before, s.executions("", "plain", "edited"))
}

// TestMassDeletionWaitsForAPerson: most of a server's models deleted at once, and
// not by dynctl, stops nothing until somebody says that it is meant.
func TestMassDeletionWaitsForAPerson(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("a", 1), s.Mocker("b", 1), s.Mocker("c", 1))
	for _, m := range []string{"a", "b", "c"} {
		s.Wait(m, "Ready", readyIn)
	}
	before := s.executions("", "a", "b", "c")
	s.deleteRaw("a", "b")
	time.Sleep(hold + 2*time.Second)
	requireNoRestart(t, before, s.executions("", "a", "b", "c"))
	for _, m := range []string{"a", "b"} {
		s.Chat(m, "still there?", 4)
		if got := s.Reason(m, "UpToDate"); got != "DeletionHeld" {
			t.Errorf("%s: UpToDate has reason %q, want DeletionHeld", m, got)
		}
	}
	blocked := s.facts("deletion-blocked")
	if len(blocked) == 0 || !strings.Contains(blocked[0].Message, "dynctl confirm-deletions "+s.Name) {
		t.Errorf("deletion-blocked: %+v, want one that says what to do", blocked)
	}
	confirmed := time.Now()
	s.Env.run(t, "", "confirm-deletions", s.Name)
	s.Wait("a", "deleted", time.Minute)
	s.Wait("b", "deleted", time.Minute)
	within(t, "confirm-deletions to nothing left", time.Since(confirmed), 20*time.Second)
	s.Chat("c", "still there?", 4)
}

// TestBadInputWritesNothing: each fault is told with its place, and a caret.
func TestBadInputWritesNothing(t *testing.T) {
	s := serving(t)
	_, js := s.Env.connect(t)
	last := func() uint64 {
		stream, err := js.Stream(t.Context(), "KV_dynctl_specs")
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().State.LastSeq
	}
	before := last()
	good := s.Mocker("good", 1)
	for _, tc := range []struct {
		name, line string // replaces the line of the replicas, which is the 8th
		column     int
		want       string
	}{
		{"syntax error", "  replicas: [1", 1, "not YAML"},
		{"unknown field", "  replica: 1", 3, `no field "replica"; did you mean replicas?`},
		{"wrong type", "  replicas: two", 13, "takes a number, and this is text"},
		{"out of range", "  replicas: -1", 3, "-1 is too low; the lowest is 0 (NegativeCount)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "bad.yaml")
			bad := strings.TrimPrefix(strings.Replace(s.Mocker("bad", 1), "  replicas: 1", tc.line, 1), "---\n")
			for path, text := range map[string]string{file: bad, filepath.Join(dir, "good.yaml"): good} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			stdout, stderr, code := s.Env.Exec(t, "", "set", dir)
			line := 8
			if tc.name == "syntax error" {
				line = strings.Count(bad, "\n") // where the document ends without its bracket
			}
			place := fmt.Sprintf("%s:%d:%d: ", file, line, tc.column)
			if code != 2 || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s\nwant 2, nothing, and %q", code, stdout, stderr, tc.want)
			}
			if tc.name != "syntax error" && !strings.Contains(stderr, place) {
				t.Errorf("no place %s in:\n%s", place, stderr)
			}
			caret := strings.TrimRight(stderr, "\n")
			if caret = caret[strings.LastIndex(caret, "\n")+1:]; !strings.HasSuffix(caret, strings.Repeat(" ", tc.column)+"^") {
				t.Errorf("the last line is %q, want a caret under column %d", caret, tc.column)
			}
		})
	}
	if now := last(); now != before {
		t.Errorf("the bucket went from sequence %d to %d", before, now)
	}
}
