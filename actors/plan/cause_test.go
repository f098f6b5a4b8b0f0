package plan_test

import (
	"strings"
	"testing"
	"time"

	"dynctl/state"
)

const (
	gpuBusy     = "ValueError: Free memory on device cuda:0 (98.77/139.8 GiB) on startup is less than desired"
	gpuBusyHint = "something else holds memory of this GPU"
)

// Why an attempt ended is told while it waits for the next one and while that runs.
func TestCauseIsToldWhileTheNextAttemptRuns(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	exit := &state.Exit{Attempt: 1, Code: 1, Reason: "Exited", Cause: gpuBusy, Hint: gpuBusyHint, LogTail: "cause: " + gpuBusy, At: w.now}
	for _, x := range []struct {
		name           string
		state          state.UnitState
		exit, lastExit *state.Exit
	}{
		{"exited", state.UnitExited, exit, nil},
		{"the next one starts", state.UnitStarting, nil, exit},
	} {
		t.Run(x.name, func(t *testing.T) {
			u := w.of("a")[0]
			a := &u.Actors[0]
			a.Attempt, a.Failures, a.ReadyAt = 2, 2, time.Time{}
			a.State, a.Exit, a.LastExit = x.state, x.exit, x.lastExit
			u.State = u.Actors[0].State
			w.round()
			for _, typ := range []string{state.CondWorkersReady, state.CondReady} {
				c := w.condition(key, typ)
				if c.Status != state.StatusFalse || !strings.Contains(c.Message, gpuBusy) || !strings.Contains(c.Message, gpuBusyHint) {
					t.Errorf("%s = %+v", typ, c)
				}
			}
			last := w.statuses[key].Roles[state.ModeAggregated].LastExit
			if last == nil || last.Cause != gpuBusy || last.Hint != gpuBusyHint || !strings.HasPrefix(last.LogTail, "cause: ") {
				t.Errorf("lastExit = %+v", last)
			}
		})
	}
}
