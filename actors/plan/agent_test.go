package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// agentFails is why there is no agent; agentStays is that of one that is up for now.
func agentFails() *state.AgentFailure {
	return &state.AgentFailure{Message: "the agent's job ended (FAILED): RecursionError", Way: "use another Python"}
}

func agentStays() *state.AgentFailure {
	f := agentFails()
	f.Up = true
	return f
}

func conditionsOf(w *cluster, key state.Key) map[string]state.Condition {
	out := map[string]state.Condition{}
	for _, c := range w.statuses[key].Conditions {
		out[c.Type] = c
	}
	return out
}

// What is undone for want of an agent says so, with why there is none.
func TestAgentFailing(t *testing.T) {
	t.Run("nothing has started", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		failure := agentFails()
		w.agentFailure = failure
		w.round()
		for _, k := range []state.Key{key, state.ServerKey("default")} {
			for _, typ := range []string{state.CondScheduled, state.CondReady} {
				c := conditionsOf(w, k)[typ]
				if c.Status == state.StatusTrue || c.Reason != actors.WaitAgentFailing || !strings.HasPrefix(c.Message, failure.Message+"; "+failure.Way) {
					t.Errorf("%s: %s = %+v", k, typ, c)
				}
			}
		}
		w.agentFailure = nil
		w.run(8)
		ready(t, w, key)
	})
	t.Run("the agent is silent", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		w.run(8)
		w.agentAway, w.agentFailure = true, agentStays()
		w.round()
		c := conditionsOf(w, key)
		if c[state.CondScheduled].Reason != actors.WaitAgentFailing || c[state.CondScheduled].Status != state.StatusUnknown || c[state.CondAvailable].Status != state.StatusTrue {
			t.Errorf("%+v", c)
		}
	})
}

// What serves serves on, what is on its way is not blamed on the agent, and what ended by
// itself keeps its own reason.
func TestAgentFailingBesideWhatRuns(t *testing.T) {
	t.Run("it comes back for long enough each time", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		w.agentFailure = agentStays()
		w.round()
		if c := conditionsOf(w, key)[state.CondScheduled]; c.Reason == actors.WaitAgentFailing {
			t.Errorf("what is on its way is blamed on it: %+v", c)
		}
	})
	t.Run("all serves", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		w.run(8)
		w.agentFailure = agentFails()
		w.run(2)
		ready(t, w, key)
	})
	t.Run("a worker that exits says why itself", func(t *testing.T) {
		w := newCluster(node("1", 8))
		key := w.put(model("a", ""))
		w.run(8)
		a := &w.of("a")[0].Actors[0]
		a.Failures, a.State, a.Exit = 2, state.UnitExited, &state.Exit{Attempt: 1, Code: 1, Reason: "Exited", Cause: gpuBusy, At: w.now}
		w.of("a")[0].State = state.UnitExited
		w.agentFailure = agentFails()
		w.round()
		if c := conditionsOf(w, key)[state.CondWorkersReady]; !strings.Contains(c.Message, gpuBusy) || c.Reason == actors.WaitAgentFailing {
			t.Errorf("%+v", c)
		}
	})
}
