package actors_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

func TestTheConditionAcceptedRepeatsTheWarnings(t *testing.T) {
	w := newWorld(node("1", 8))
	key := w.put(strings.Replace(model("a", "  env: {VLLM_ENGINE_READY_TIMEOUT_S: 60}\n"), "mocker", "vllm", 1))
	w.run(6)
	ready(t, w, key)
	c := w.condition(key, state.CondAccepted)
	if c.Status != state.StatusTrue || c.Reason != actors.CondWarnings || !strings.HasPrefix(c.Message, "spec.env.VLLM_ENGINE_READY_TIMEOUT_S: ") {
		t.Errorf("Accepted is %s, %s: %q; want True with the warning", c.Status, c.Reason, c.Message)
	}
	w.put(model("a", ""))
	w.run(1)
	if c := w.condition(key, state.CondAccepted); c.Reason != actors.CondOK || c.Message != "" {
		t.Errorf("Accepted of the corrected spec is %s: %q; want OK without a message", c.Reason, c.Message)
	}
}
