package app

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// checkedLoop is a loop that checks plans, with an input and a plan of it that holds.
func checkedLoop(t *testing.T, log io.Writer) (l *loop, in actors.Input, good actors.Result) {
	t.Helper()
	a := &App{log: slog.New(slog.NewTextHandler(log, nil))}
	a.cfg.DataDir = t.TempDir()
	in, good = aPlan()
	in.Observed.Synced, in.Desired.Synced = true, true
	in.Observed.Agent = &state.Agent{At: in.Now}
	in.Policy.AgentTimeout = 1
	in.Observed.Gone = map[state.UnitKey]uint64{{Server: "default", Unit: "11111111_a_DP0"}: 7}
	good.Stops, good.Sweeps, good.Revokes = nil, nil, nil
	for i := range good.Starts {
		good.Starts[i].Reason = actors.ReasonWanted
	}
	return newLoop(a), in, good
}

// broken starts one unit twice.
func broken(good actors.Result) actors.Result {
	bad := good
	bad.Starts = append(bad.Starts[:len(bad.Starts):len(bad.Starts)], bad.Starts[0])
	bad.Statuses = []*state.Status{{Key: "model.default.a"}}
	return bad
}

// Nothing of a plan that breaks an invariant is carried out for as long as it does; one
// that holds is left as it is.
func TestAPlanThatBreaksAnInvariantDoesNothing(t *testing.T) {
	var log bytes.Buffer
	l, in, good := checkedLoop(t, &log)
	if r := l.checkPlan(in, good); len(r.Starts) != len(good.Starts) || log.Len() > 0 {
		t.Fatalf("a good plan: %+v\n%s", r, log.String())
	}
	if r := l.checkPlan(in, broken(good)); len(r.Starts)+len(r.Stops)+len(r.Revokes)+len(r.Facts) > 0 || len(r.Statuses) != 1 {
		t.Fatalf("a bad plan acts, or tells nothing: %+v", r)
	}
	if c := checkPlans(l.app, nil); c.State != checkFailed || !strings.Contains(c.Text, "asked for twice") {
		t.Errorf("the check says %s: %s", c.State, c.Text)
	}
	if r := l.checkPlan(in, good); len(r.Starts) != len(good.Starts) {
		t.Errorf("a good plan after a bad one: %+v", r)
	}
	if c := checkPlans(l.app, nil); c.State != checkOK {
		t.Errorf("the check says %s after it: %s", c.State, c.Text)
	}
}

// It is told once, and its input is kept for its owner alone; no secret is logged.
func TestAPlanThatBreaksAnInvariantIsTold(t *testing.T) {
	var log bytes.Buffer
	l, in, good := checkedLoop(t, &log)
	const secret = "hf_0123456789abcdef"
	in.Desired.Models = append(in.Desired.Models, &actors.DesiredModel{Server: "default", Name: "z", Spec: state.ModelSpec{Env: state.Env{"HF_TOKEN": {Value: secret}}}})
	for range 3 {
		l.checkPlan(in, broken(good))
	}
	if n := strings.Count(log.String(), "asked for twice"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("a secret is logged:\n%s", log.String())
	}
	path := filepath.Join(l.app.cfg.DataDir, brokenPlanFile)
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(b, []byte("11111111_a_DP0")) || !strings.Contains(log.String(), path) {
		t.Errorf("the input is not told: %v\n%s\n%s", err, b, log.String())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for its owner alone", info.Mode(), err)
	}
}
