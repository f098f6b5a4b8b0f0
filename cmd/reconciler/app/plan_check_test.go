package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// A plan that breaks an invariant is told once with its input, and nothing of it is carried
// out for as long as it does; one that holds is left as it is.
func TestAPlanThatBreaksAnInvariantDoesNothing(t *testing.T) {
	var log bytes.Buffer
	l := newLoop(&App{log: slog.New(slog.NewTextHandler(&log, nil))})
	in, good := aPlan()
	in.Observed.Synced, in.Desired.Synced = true, true
	in.Observed.Agent = &state.Agent{At: in.Now}
	in.Policy.AgentTimeout = 1
	in.Observed.Gone = map[state.UnitKey]uint64{{Server: "default", Unit: "11111111_a_DP0"}: 7}
	good.Stops, good.Sweeps, good.Revokes = nil, nil, nil
	for i := range good.Starts {
		good.Starts[i].Reason = actors.ReasonWanted
	}
	if r := l.checkPlan(in, good); len(r.Starts) != len(good.Starts) || log.Len() > 0 {
		t.Fatalf("a good plan: %+v\n%s", r, log.String())
	}

	bad := good
	bad.Starts = append(bad.Starts[:len(bad.Starts):len(bad.Starts)], bad.Starts[0]) // twice
	bad.Statuses = []state.Status{{Key: "model.default.a"}}
	for range 3 {
		if r := l.checkPlan(in, bad); len(r.Starts)+len(r.Stops)+len(r.Revokes)+len(r.Statuses)+len(r.Facts) > 0 {
			t.Fatalf("a bad plan acts: %+v", r)
		}
	}
	if n := strings.Count(log.String(), "asked for twice"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
	if !strings.Contains(log.String(), "11111111_a_DP0") {
		t.Errorf("the input is not told:\n%s", log.String())
	}
	if r := l.checkPlan(in, good); len(r.Starts) != len(good.Starts) {
		t.Errorf("a good plan after a bad one: %+v", r)
	}
}
