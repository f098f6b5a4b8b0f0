package plan_test

import (
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// stranger registers an instance of a model's generation that no unit claims.
func (w *cluster) stranger(key state.Key) int64 {
	w.lease++
	w.instances["default"][w.lease] = state.Instance{
		Namespace: "curator-" + w.statuses[key].Generation, Component: key.Name, Endpoint: "generate", Lease: w.lease, Card: true}
	return w.lease
}

func served(t *testing.T) (*cluster, state.Key) {
	t.Helper()
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(6)
	ready(t, w, key)
	return w, key
}

// The agent was frozen just after it had executed: etcd knows the new attempt,
// the observed view does not.
func TestALeaseThatTheAgentHasNotToldYetIsKept(t *testing.T) {
	t.Run("no heartbeat in between", func(t *testing.T) {
		w, key := served(t)
		heard := w.now
		w.stranger(key)
		for range 20 {
			w.now = w.now.Add(100 * time.Millisecond)
			in, _ := w.input()
			in.Observed.Agent.At = heard
			r := plan.Plan(in)
			w.unclaimed = r.Unclaimed
			if len(r.Revokes) != 0 {
				t.Fatalf("revoked: %+v", r.Revokes)
			}
		}
	})
	t.Run("an exited unit that is told to execute", func(t *testing.T) {
		w, key := served(t)
		u := w.of("a")[0]
		w.exit(u, &u.Actors[0], 1)
		w.stranger(key)
		for range 5 {
			in, _ := w.input()
			r := plan.Plan(in) // not applied: the agent has executed and told nothing
			w.unclaimed = r.Unclaimed
			for _, x := range r.Revokes {
				if x.Reason == actors.ReasonUnclaimed {
					t.Fatalf("revoked: %+v", x)
				}
			}
			w.now = w.now.Add(time.Second)
		}
	})
	t.Run("what was seen before a gap is no first look", func(t *testing.T) {
		w, key := served(t)
		w.stranger(key)
		w.round()
		w.agentAway = true
		w.now = w.now.Add(time.Minute)
		w.round()
		w.agentAway = false
		if r := w.round(); len(r.Revokes) != 0 {
			t.Errorf("revoked: %+v", r.Revokes)
		}
	})
}

// A view without any unit of the server is one that was lost, not a server
// without workers.
func TestNothingIsRevokedWhileNoUnitIsKnown(t *testing.T) {
	w, _ := served(t)
	w.run(1)
	for range 5 {
		in, _ := w.input()
		in.Observed.Units = nil
		r := plan.Plan(in)
		w.unclaimed = r.Unclaimed
		if len(r.Revokes) != 0 {
			t.Fatalf("revoked: %+v", r.Revokes)
		}
		w.now = w.now.Add(time.Second)
	}
}

// What is left of a unit whose group is gone, and that finds no other, may own nothing: a
// process of it that lives on, as on a node that was cut off, is not waited for.
func TestALeaseBesideALostUnitIsRevoked(t *testing.T) {
	w, key := served(t)
	lease := w.stranger(key)
	w.nodes[0].GPUs = 0
	w.losePlacement(w.of("a")[0])
	for range 8 {
		for _, x := range w.round().Revokes {
			if x.Lease == lease {
				return
			}
		}
		w.tick()
	}
	t.Fatal("it is never revoked")
}
