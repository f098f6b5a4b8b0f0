package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
)

func TestTheConditionAcceptedRepeatsTheWarnings(t *testing.T) {
	w := newCluster(node("1", 8))
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

// A model that an older version accepted and this one would not runs on, and keeps
// nobody from editing its server.
func TestAModelThatIsNoLongerValidBlocksNoServer(t *testing.T) {
	decode := func(text string) state.Doc {
		docs, err := state.Decode("test.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return docs[0]
	}
	old := decode(model("a", "  env: {PYTHONHASHSEED: 7}\n"))
	server := decode("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: 9000}}\n")
	key := state.ModelKey("default", "a")
	desired, _ := accept.Revisions(accept.Input{
		Synced: true,
		Entries: []*accept.Entry{
			{Key: key, Revision: 1, Doc: old},
			{Key: state.ServerKey("default"), Revision: 2, Doc: server},
		},
		Statuses: map[state.Key]state.Status{key: {
			Key: key.String(), Kind: state.KindModel, Server: "default", Name: "a", ObservedRevision: 1, AcceptedRevision: 1, AcceptedSpec: old.Raw,
		}},
	})
	if s := desired.Servers[0]; s.Rejected != nil || s.Accepted != 2 {
		t.Errorf("the server is at revision %d: %+v", s.Accepted, s.Rejected)
	}
	if m := desired.Models[0]; m.Rejected != nil || m.Accepted != 1 {
		t.Errorf("the model is at revision %d: %+v", m.Accepted, m.Rejected)
	}
}
