//go:build integration && (vllm || gpu)

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// smoke is a walk through the faults of a real engine, with a table of what each took.
type smoke struct {
	t     *testing.T
	s     *Server
	start time.Duration // bounds the start of one worker
	rows  []smokeRow
}

// smokeRow is what a fault took, counted from the fault. Zero: not seen, or it does not apply.
type smokeRow struct {
	what                      string
	noticed, executed, healed time.Duration
	load                      LoadResult
	note                      string
}

// add takes a row, and tells it: a walk that fails has shown something before.
func (k *smoke) add(r smokeRow) {
	k.rows = append(k.rows, r)
	k.t.Logf("%s: noticed %s, executed again %s, healed %s, %d of %d requests failed %s", r.what,
		seconds(r.noticed), seconds(r.executed), seconds(r.healed), r.load.Failed, r.load.OK+r.load.Failed, r.note)
}

// table writes the rows.
func (k *smoke) table() {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tnoticed\texecuted again\thealed\trequests\tfailed\tlongest gap\t")
	for _, r := range k.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", r.what, seconds(r.noticed), seconds(r.executed), seconds(r.healed),
			r.load.OK+r.load.Failed, r.load.Failed, seconds(r.load.Gap), r.note)
	}
	if err := w.Flush(); err != nil {
		k.t.Error(err)
	}
	k.t.Logf("measured:\n%s", out.String())
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// part walks on in a test of its own; what it adds is in the same table.
func (k *smoke) part(name string, walk func(*smoke)) {
	k.t.Run(name, func(t *testing.T) {
		s := *k.s
		s.t = t
		part := &smoke{t: t, s: &s, start: k.start}
		defer func() { k.rows = append(k.rows, part.rows...) }()
		walk(part)
	})
}

// serve declares a model and waits until it answers.
func (k *smoke) serve(what, model, document string) {
	k.t.Helper()
	began := time.Now()
	k.s.Set(document)
	k.s.Wait(model, "Ready", k.start)
	ready := time.Since(began)
	if a := k.s.Chat(model, "hello", 8); a.Tokens != 8 {
		k.t.Errorf("%s: answered %q (%d tokens), want 8", what, a.Text, a.Tokens)
	}
	k.add(smokeRow{what: what, healed: time.Since(began), note: "to Ready " + seconds(ready) + ", healed: first answer"})
}

// core is the process of vLLM's engine below a worker.
func (k *smoke) core(main int) int {
	k.t.Helper()
	for _, pid := range children(k.t, main) {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(title), "EngineCore") {
			return pid
		}
	}
	k.t.Fatalf("worker %d has no EngineCore among its processes", main)
	return 0
}

// children are the processes of the session of a worker.
func children(t *testing.T, session int) (out []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		text := string(raw)
		fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
		pid, err := strconv.Atoi(text[:strings.IndexByte(text, ' ')])
		if err == nil && len(fields) > 3 && fields[3] == strconv.Itoa(session) {
			out = append(out, pid)
		}
	}
	return out
}

// fault sends a signal to the engine or the main process of a model's first worker under
// load, and waits until it has healed.
func (k *smoke) fault(what, model string, engine bool, sig syscall.Signal) {
	k.t.Helper()
	unit := k.s.UnitsOf(model, "")[0]
	main, attempt := unit.Actors[0].ChildPID, unit.Actors[0].Attempt
	target, all := main, children(k.t, main)
	if engine {
		target = k.core(main)
	}
	load := k.s.Load(model, 5)
	time.Sleep(time.Second)
	row := smokeRow{what: what}
	began := time.Now()
	Signal(k.t, target, sig)
	Eventually(k.t, k.start, what+": healed", func() bool {
		now := k.unit(unit.Unit)
		a := now.Actors[0]
		since := time.Since(began)
		if row.noticed == 0 && (now.State != "Running" || a.Lease == 0 || a.Attempt != attempt) {
			row.noticed = since
		}
		if row.executed == 0 && a.Attempt != attempt && a.ChildPID != 0 && a.ChildPID != main {
			row.executed = since
		}
		return row.executed != 0 && now.State == "Running"
	})
	k.s.Wait(model, "Ready", k.start)
	Eventually(k.t, k.start, what+": an answer", func() bool {
		_, err := chat(k.t.Context(), k.s.URL("/v1/chat/completions"), model, "are you back", 4)
		return err == nil
	})
	row.healed = time.Since(began)
	row.load = load.Stop()
	k.add(row)

	RequireGone(k.t, all...)
}

func (k *smoke) unit(id string) Unit {
	for _, u := range k.s.Units() {
		if u.Unit == id && len(u.Actors) > 0 {
			return u
		}
	}
	return Unit{Actors: make([]UnitActor, 1)}
}

// roll changes a model under load, and wants every request answered.
func (k *smoke) roll(what, model, document string) {
	k.t.Helper()
	old := k.s.generations(model)[0]
	load, began := k.s.Load(model, 2), time.Now()
	k.s.Set(document)
	k.s.awaitGeneration(model, old, 2*k.start)
	row := smokeRow{what: what, healed: time.Since(began), load: load.Stop()}
	k.add(row)

}

// gone deletes a model, idle, and wants nothing of it left.
func (k *smoke) gone(what, model string) {
	k.t.Helper()
	var pids []int
	for _, pid := range k.s.pids(model) {
		pids = append(pids, children(k.t, pid)...)
	}
	began := time.Now()
	k.s.Delete("model/" + model)
	k.s.Wait(model, "deleted", 5*time.Minute)
	k.add(smokeRow{what: what, healed: time.Since(began)})
	RequireGone(k.t, pids...)
}

// left is what engines leave outside their directories: sockets and shared memory.
func left(t *testing.T) []string {
	t.Helper()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$|^dynctl-s-|^psm_|^sem\.(mp|loky)-`)
	var out []string
	for _, dir := range []string{os.TempDir(), "/dev/shm"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if uuid.MatchString(e.Name()) {
				out = append(out, filepath.Join(dir, e.Name()))
			}
		}
	}
	return out
}

// requireNothingLeft compares with what was there before.
func requireNothingLeft(t *testing.T, before []string) {
	t.Helper()
	for _, path := range left(t) {
		if !slices.Contains(before, path) {
			t.Errorf("%s is left", path)
		}
	}
}
