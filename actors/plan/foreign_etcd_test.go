package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// Two servers read one etcd, by whatever address. A server with an etcd of its own and
// one that names it as its external one.
func sharedEtcd(t *testing.T, namespace string) (*cluster, state.Key) {
	t.Helper()
	w, _ := served(t)
	w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: thief}\nspec: {dynamoNamespace: " + namespace + ", etcd: {endpoint: \"http://localhost:2379/\"}, frontend: {port: 8001}}\n")
	key := w.put(strings.Replace(model("b", ""), "name: b", "name: b, server: thief", 1))
	return w, key
}

func (w *cluster) planShared() actors.Result {
	in, _ := w.input()
	regs := in.Registered["default"]
	regs.ClusterID, regs.Members = 7, []string{"http://10.0.0.1:2379"}
	in.Registered["default"], in.Registered["thief"] = regs, regs
	r := plan.Plan(in)
	w.unclaimed = r.Unclaimed
	w.now = w.now.Add(time.Second)
	return r
}

func TestTheEtcdOfAnotherServer(t *testing.T) {
	for _, namespace := range []string{"curator", "other"} {
		t.Run(namespace, func(t *testing.T) {
			w, key := sharedEtcd(t, namespace)
			for range 5 {
				r := w.planShared()
				if len(r.Revokes) > 0 {
					t.Fatalf("revoked: %+v", r.Revokes)
				}
				for _, s := range r.Starts {
					if s.Template.Server == "thief" {
						t.Errorf("started: %+v", s.Template)
					}
				}
				for _, s := range r.Statuses {
					c, _ := s.Condition(state.CondScheduled)
					if (s.Key == key.String() || s.Key == "server.thief") && c.Reason != actors.WaitForeignEtcd {
						t.Errorf("%s: %+v", s.Key, c)
					}
				}
			}
		})
	}
}

// A lease that any unit of any server claims is never revoked, whatever the etcds of
// their servers hold and whose generations it stands under.
func TestAClaimedLeaseIsNeverRevoked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newCluster(node("1", 64))
		var keys []state.Key
		for i, server := range []string{"default", "two", "three"} {
			w.put(fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: %s}\nspec: {frontend: {port: %d}}\n", server, 8000+i))
			keys = append(keys, w.put(strings.Replace(model("m", ""), "name: m", "name: m, server: "+server, 1)))
		}
		w.run(8)
		in, _ := w.input()
		leases := rapid.SliceOfN(rapid.Int64Range(1, 6), 1, 12)
		pool := leases.Draw(t, "leases")
		any64 := func(label string) int64 { return pool[rapid.IntRange(0, len(pool)-1).Draw(t, label)] }
		claimed := map[int64]bool{}
		for _, u := range in.Observed.Units {
			if rapid.Bool().Draw(t, "orphan") {
				u.Server = rapid.SampledFrom([]string{"default", "two", "three", "gone"}).Draw(t, "server")
			}
			for j := range u.Actors {
				a := &u.Actors[j]
				a.Lease, a.PreviousLease = any64("lease"), any64("previous")
				if rapid.Bool().Draw(t, "dead") {
					a.ChildPID = 0
				} else {
					a.ChildPID = 1
					claimed[a.Lease] = true
				}
			}
		}
		for server, regs := range in.Registered {
			regs.Known, regs.Instances = true, nil
			for _, l := range pool {
				generation := w.statuses[keys[rapid.IntRange(0, 2).Draw(t, "whose")]].Generation
				regs.Instances = append(regs.Instances, state.Instance{Namespace: "curator-" + generation, Component: "m", Endpoint: "generate", Lease: l})
			}
			in.Registered[server] = regs
		}
		for range 3 {
			r := plan.Plan(in)
			in.Unclaimed = r.Unclaimed
			in.Now = in.Now.Add(2 * time.Second)
			in.Observed.Agent = &state.Agent{Incarnation: 1, Synced: true, At: in.Now, Session: "s"}
			for _, x := range r.Revokes {
				if claimed[x.Lease] {
					t.Fatalf("revoked a lease that is claimed: %+v", x)
				}
			}
		}
	})
}
