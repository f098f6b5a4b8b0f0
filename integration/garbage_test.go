//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// garbage is what somebody with the rights may put anywhere.
var garbage = []string{
	"garbage", "", "null", "[]", "{", "1", `"x"`, "\xff\xfe", `{"incarnation":99999}`, `{"incarnation":-1}`, `{"incarnation":18446744073709551615}`,
	`{"incarnation":9007199254740993,"epoch":1}`, `{"incarnation":"x","actors":{},"placementGroup":[],"id":7}`,
	strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), `{"incarnation":"` + strings.Repeat("x", 900_000) + `"}`,
}

// TestGarbage: whatever anybody puts into the agent's bucket and its stream of commands, a
// real agent goes on healing and puts its keys right, and one that starts takes charge
// over it. Its password stands on no command line and in no log, and what stands under
// the names of its files is not followed.
func TestGarbage(t *testing.T) {
	const password = "hush-4f1c9a"
	e := Shared(t).besideWithPassword(t, "bad", password)
	watch := e.watchCommandLines(password)
	r := e.startBeside(t, "only")
	Eventually(t, readyIn, "it is ready", func() bool { code, _ := readyz(t, r.url); return code == 200 })
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	t.Run("password", func(t *testing.T) { e.requireHidden(t, password, watch(), r.cmd.Process.Pid) })
	on := func(t *testing.T) *Server { one := *s; one.t = t; return &one }
	t.Run("links", func(t *testing.T) { on(t).testLinks() })
	load := s.Load("m", 10)
	t.Run("observed", func(t *testing.T) { on(t).testObservedGarbage(r) })
	t.Run("commands", func(t *testing.T) { on(t).testCommandGarbage() })
	const deaths = 3 // two workers while observed, one among commands
	requireOnlyLate(t, load.Stop(), deaths)
}

// heals kills a worker of m and waits until its next attempt serves.
func (s *Server) heals() {
	s.t.Helper()
	var units []Unit
	// The agent has to write over the garbage at the unit's key first.
	Eventually(s.t, backIn, "its units are told", func() bool { units = s.UnitsOf("m", ""); return len(units) == 2 })
	u := units[0]
	a := s.Observed(u.Unit).Actors[0]
	Signal(s.t, a.ChildPID, syscall.SIGKILL)
	s.AwaitAttempt(u.Unit, a.Name, a.Attempt+1, backIn)
	Eventually(s.t, backIn, "Ready", func() bool { return strings.HasPrefix(s.condition("m", "Ready"), "True") })
}

// testObservedGarbage puts everything under every kind of key, while an agent looks and
// before another one starts.
func (s *Server) testObservedGarbage(r besideReconciler) {
	t, e := s.t, s.Env
	_, js := e.connect(t)
	bucket, err := js.KeyValue(t.Context(), "dynctl_observed")
	if err != nil {
		t.Fatal(err)
	}
	node := s.Observed("infra").Actors[0].Node
	unit := "unit." + s.Name + "." + s.UnitsOf("m", "")[0].Unit
	foreign := []string{"unit.default.zzz", "node.x", "later.thing", "unit." + s.Name + ".zzz"}
	put := func(value string, keys ...string) {
		for _, key := range keys {
			if _, err := bucket.PutString(t.Context(), key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := e.Agent(t)
	for _, value := range garbage {
		put(value, append(foreign, unit, "node."+node)...)
		if !strings.Contains(value, "99999") { // an agent with that number could be one
			put(value, "agent")
		}
	}
	s.heals()
	e.awaitClean(t, bucket, foreign)
	if a := e.Agent(t); a.Incarnation != first.Incarnation || a.PID != first.PID {
		t.Errorf("agent %d (process %d) became %d (%d) over garbage", first.Incarnation, first.PID, a.Incarnation, a.PID)
	}

	put(`{"incarnation":99999}`, "agent")
	e.awaitAgent(t, 99999, readyIn)
	last := e.Agent(t)
	Signal(t, last.PID, syscall.SIGKILL)
	RequireGone(t, last.PID)
	for _, value := range garbage {
		if !strings.Contains(value, "99999") {
			put(value, append(foreign, unit, "node."+node, "agent")...)
		}
	}
	Eventually(t, readyIn, "another agent is in charge", func() bool {
		var a state.Agent
		entry, err := bucket.Get(t.Context(), "agent")
		return err == nil && json.Unmarshal(entry.Value(), &a) == nil && a.Incarnation > last.Incarnation && a.Incarnation < 1<<53 && a.Synced
	})
	e.awaitClean(t, bucket, foreign)
	s.heals()
	r.names(t, "unit.default.zzz", "node.x", "agent")
}

// names wants the reconciler's log to name what it could not read.
func (r besideReconciler) names(t *testing.T, keys ...string) {
	t.Helper()
	log := readFile(t, r.log)
	for _, key := range keys {
		if !strings.Contains(log, key) {
			t.Errorf("the reconciler's log does not name %s", key)
		}
	}
}

// awaitClean waits until nothing stands in the bucket but what an agent has written.
func (e *Env) awaitClean(t *testing.T, bucket jetstream.KeyValue, foreign []string) {
	t.Helper()
	Eventually(t, readyIn, "the bucket holds what the agent reports, and nothing else", func() bool {
		keys, err := bucket.Keys(t.Context())
		if err != nil {
			return false
		}
		for _, key := range keys {
			var value struct{ Incarnation uint64 }
			entry, err := bucket.Get(t.Context(), key)
			bad := err != nil || json.Unmarshal(entry.Value(), &value) != nil || value.Incarnation == 0 || value.Incarnation > 1<<53
			if bad || slices.Contains(foreign, key) {
				return false
			}
		}
		return slices.Contains(keys, "agent")
	})
}

// testCommandGarbage puts everything into the stream of commands, also with all that a
// command of the reconciler's has: its store, session and an epoch.
func (s *Server) testCommandGarbage() {
	t, e := s.t, s.Env
	nc, _ := e.connect(t)
	before, units := e.Agent(t), len(s.Units())
	victim := s.UnitsOf("m", "")[0].Unit
	bodies := slices.Clone(garbage)
	for _, event := range []string{
		`"epoch":18446744073709551615,"command":{%s}`, `"epoch":9007199254740993,"command":{%s}`, `"epoch":0,"command":{%s}`, `"epoch":-1,"command":{%s}`,
		`"command":{%s,"deadline":"soon"}`, `"epoch":EPOCH,"command":{%s,"deadline":"soon"}`, `"epoch":EPOCH,"command":{%s,"deadline":[]}`,
		`"epoch":EPOCH,"command":{%s,"gracePeriod":{}}`, `"epoch":EPOCH,"command":{%s,"gracePeriod":-1}`, `"epoch":EPOCH,"command":[]`,
		`"epoch":EPOCH,"command":{%s,"template":{}}`, `"epoch":EPOCH,"command":{%s,"template":{"unit":"zzz","server":"SERVER","generation":"0a0a0a0a","actors":null}}`,
		`"epoch":EPOCH,"command":{%s,"template":{"unit":"zzz","server":"SERVER","generation":"0a0a0a0a","placementGroup":{"name":"x","strategy":"PACK","bundles":[{"CPU":1}]},` +
			`"actors":[{"name":"y","label":"y","bundle":0,"argv":["true"],"health":{"kind":"none"},"ports":"all"}]}}`,
	} {
		event = strings.ReplaceAll(strings.ReplaceAll(event, "EPOCH", fmt.Sprint(before.Epoch)), "SERVER", s.Name)
		if strings.Contains(event, "%s") {
			event = fmt.Sprintf(event, fmt.Sprintf(`"storeId":%q,"session":%q`, before.StoreID, before.Session))
		}
		verbs := []string{"start", "stop", "sweep"}
		if strings.Contains(event, "template") {
			verbs = verbs[:1] // the others do not read it: they would be commands
		}
		for _, verb := range verbs {
			bodies = append(bodies, fmt.Sprintf(`{"id":"g%d","type":%q,"data":{"server":%q,"unit":%q,%s}}`, len(bodies), verb, s.Name, victim, event))
		}
	}
	for _, body := range bodies {
		for _, verb := range []string{"start", "stop", "sweep"} {
			if err := nc.Publish(fmt.Sprintf("dynctl.events.%s.%s.%s", s.Name, verb, victim), []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.heals()
	s.Set(s.Mocker("after", 1))
	s.Wait("after", "Ready", readyIn)
	s.Delete("model/after")
	s.Wait("after", "deleted", readyIn)
	if a := e.Agent(t); a.Incarnation != before.Incarnation || a.Epoch > before.Epoch+1 {
		t.Errorf("agent %d in epoch %d became %d in %d", before.Incarnation, before.Epoch, a.Incarnation, a.Epoch)
	}
	if n := len(s.Units()); n != units {
		t.Errorf("%d units became %d", units, n)
	}
}

// testLinks plants links under the names of a unit's directory and log.
func (s *Server) testLinks() {
	t := s.t
	t.Cleanup(func() { s.Delete("model/trap"); s.Wait("trap", "deleted", readyIn) })
	s.Set(s.Mocker("trap", 1))
	s.Wait("trap", "Ready", readyIn)
	u := s.UnitsOf("trap", "")[0]
	dir := filepath.Join(s.Env.Stack.TempDir(), "session_latest", fmt.Sprintf("nemo_curator_dynamo_%s_%s", s.Name, u.Unit))
	_, label, _ := strings.Cut(u.Actors[0].Name, "_"+u.Generation+"_")
	log := filepath.Join(dir, label+".log")
	if info, err := os.Lstat(log); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the log is %v (%v), want it for its owner alone", info, err)
	}
	victims := t.TempDir()
	victim := filepath.Join(victims, "file")
	if err := os.WriteFile(victim, []byte("precious\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, planted := range []struct{ name, at, to string }{{"log", log, victim}, {"directory", dir, victims}} {
		s.Delete("model/trap")
		s.Wait("trap", "deleted", readyIn)
		if err := os.RemoveAll(planted.at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(planted.to, planted.at); err != nil {
			t.Fatal(err)
		}
		s.Set(s.Mocker("trap", 1))
		var exit *state.Exit
		Eventually(t, readyIn, planted.name+": the unit does not start", func() bool {
			exit = nil
			if found := s.Observed(u.Unit); len(found.Actors) > 0 {
				exit = found.Actors[0].Exit
			}
			return exit != nil
		})
		if exit.Reason != "ExecFailed" || !strings.Contains(exit.LogTail, filepath.Base(planted.at)) {
			t.Errorf("%s: it ended with %+v, want ExecFailed with the path", planted.name, exit)
		}
		if names, err := filepath.Glob(filepath.Join(victims, "*")); err != nil || len(names) != 1 || readFile(t, victim) != "precious\n" {
			t.Errorf("%s: behind the link are %v (%v), %q", planted.name, names, err, readFile(t, victim))
		}
		if err := os.Remove(planted.at); err != nil {
			t.Fatal(err)
		}
		s.Wait("trap", "Ready", readyIn)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// seen is what the command lines of the machine were while they were watched.
type seen struct {
	holding map[int]string // by process
	setups  int            // of Ray's, that set up the environment of a job
}

// watchCommandLines looks at every command line again and again until it is asked: Ray
// shows some for a moment only.
func (e *Env) watchCommandLines(text string) func() seen {
	out, end := seen{holding: map[int]string{}}, make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range paths {
				line, err := os.ReadFile(path)
				if err != nil {
					continue // it has ended
				}
				if bytes.Contains(line, []byte("--serialized-runtime-env-context")) {
					out.setups++
				}
				if bytes.Contains(line, []byte(text)) {
					var pid int
					_, _ = fmt.Sscanf(path, "/proc/%d/", &pid)
					out.holding[pid] = strings.ReplaceAll(string(line), "\x00", " ")
				}
			}
		}
	})
	return func() seen { close(end); done.Wait(); return out }
}

// requireHidden wants a text on no command line but that of the reconciler, to which it
// was given so, and in no file of Ray's session.
func (e *Env) requireHidden(t *testing.T, text string, was seen, reconciler int) {
	t.Helper()
	if was.setups == 0 {
		t.Log("Ray set up the agent's job between two looks: what stood on that command line is told by its log alone, below")
	}
	delete(was.holding, reconciler)
	for pid, line := range was.holding {
		t.Errorf("process %d shows the password: %.300s", pid, line)
	}
	session, err := filepath.EvalSymlinks(filepath.Join(e.Stack.TempDir(), "session_latest"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(session, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile, or a socket
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(text)) {
			t.Errorf("%s holds the password", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
