package app

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

// beatOf writes the key of the agent, and those of the nodes, as another agent would.
func (r *rig) beatOf(a state.Agent) {
	r.tb.Helper()
	nodes, err := r.client.ListNodes(r.tb.Context())
	if err != nil {
		r.tb.Fatal(err)
	}
	write := func(key string, value any) {
		raw, err := json.Marshal(value)
		if err == nil {
			_, err = r.client.JetStream().Publish(r.tb.Context(), "$KV."+kv.BucketObserved+"."+key, raw)
		}
		if err != nil {
			r.tb.Fatal(err)
		}
	}
	for _, n := range nodes {
		write("node."+n.ID, struct {
			state.Node
			Incarnation uint64 `json:"incarnation"`
		}{n, a.Incarnation})
	}
	write("agent", a)
}

// TestAnAgentOfAnotherProtocol: an agent that shares no version of the protocol is told
// nothing, which is said everywhere with what to do; one that shares one is.
func TestAnAgentOfAnotherProtocol(t *testing.T) {
	r := newRig(t, 1)
	r.declare(1)
	r.allReady(1)
	agent, err := r.client.GetAgent(t.Context())
	if err != nil || agent.Speaks() != state.SpokenProtocol() {
		t.Fatalf("the agent speaks %s, %v", agent.Speaks(), err)
	}
	agent.Incarnation++
	agent.Protocol = &state.Protocol{Newest: state.ProtocolNewest + 2, Oldest: state.ProtocolNewest + 1}
	r.beatOf(agent)

	want := fmt.Sprintf("speaks versions %d to %d of the protocol, and this reconciler version %d", state.ProtocolNewest+1, state.ProtocolNewest+2, state.ProtocolNewest)
	r.eventually("/readyz says it", func() bool {
		code, text, _ := r.readyzOf()
		return code == 503 && strings.Contains(text, "agent: ProtocolMismatch: ") && strings.Contains(text, want) && strings.Contains(text, "--ray-address")
	})
	r.eventually("the lease says it, for dynctl doctor", func() bool {
		lease, err := r.client.GetLeader(t.Context())
		return err == nil && lease.AgentFailure != nil && lease.AgentFailure.Reason == actors.ProtocolMismatch
	})
	later := modelName(1)
	r.declareOne(later)
	r.eventually("it is accepted", func() bool {
		s, err := r.client.GetStatus(t.Context(), state.ModelKey("default", later))
		c, _ := s.Condition(state.CondReady)
		return err == nil && s.AcceptedRevision != 0 && c.Reason == actors.ProtocolMismatch
	})
	started := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for unit := range r.first {
			if strings.Contains(unit, later) {
				return true
			}
		}
		return false
	}
	if started() {
		t.Errorf("%s was started", later)
	}
	agent.Incarnation++
	agent.Protocol.Oldest = state.ProtocolOldest
	r.eventually("a start of "+later, func() bool { r.beatOf(agent); return started() })
}

// TestBothSidesNameOneProtocol: the agent that travels in this program speaks what it does.
func TestBothSidesNameOneProtocol(t *testing.T) {
	source, err := os.ReadFile("../../../actors/agent/dynctl_agent/__init__.py")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %d", state.ProtocolNewest, state.ProtocolOldest)
	found := regexp.MustCompile(`(?m)^PROTOCOL, PROTOCOL_OLDEST = (\d+), (\d+)$`).FindSubmatch(source)
	if len(found) != 3 || fmt.Sprintf("%s %s", found[1], found[2]) != want {
		t.Errorf("the agent speaks %q, the reconciler %s", found, want)
	}
}
