package plan_test

import (
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// simGate is a gate in a simulated etcd.
type simGate struct {
	server, namespace string
	until             time.Time
}

// gated reports whether a gate keeps the namespace out of the frontend's choice.
func (w *cluster) gated(server, namespace string) bool {
	for _, g := range w.gates {
		if g.server == server && g.namespace == namespace {
			return true
		}
	}
	return false
}

// carryGates does to etcd what the planner asks for.
func (w *cluster) carryGates(r actors.Result) {
	for _, g := range r.Lifts {
		w.note("lift %s %s", g.Namespace, g.Reason)
		delete(w.gates, g.Lease)
	}
	for _, g := range r.Gates {
		lease := g.Lease
		if _, there := w.gates[lease]; !there {
			w.lease++
			lease = w.lease
			w.note("gate %s %s", g.Namespace, g.Reason)
		}
		w.gates[lease] = simGate{server: g.Server, namespace: g.Namespace, until: w.now.Add(state.GateTTL)}
	}
}

// routed are the namespaces of a model that the frontend sends requests to, whether or
// not it answers us.
func (w *cluster) routed(in actors.Input, m *actors.DesiredModel) []string {
	away, etcd := w.frontendAway, w.etcdAway
	w.frontendAway, w.etcdAway = false, false
	defer func() { w.frontendAway, w.etcdAway = away, etcd }()
	var out []string
	for _, s := range in.Desired.Servers {
		if s.Name != m.Server {
			continue
		}
		for ns, n := range w.frontend(s, in.Desired).Models[m.Spec.ServedName].Namespaces {
			if n.Ready {
				out = append(out, ns)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (w *walk) allRouted(in actors.Input) map[string][]string {
	out := map[string][]string{}
	for _, m := range in.Desired.Models {
		out[m.Name] = w.routed(in, m)
	}
	return out
}

// checkEntries holds that a disaggregated generation that enters the frontend's choice was
// whole when that was decided, if anybody could decide.
func (w *walk) checkEntries(t fataler, in actors.Input, before map[string][]string) {
	if w.agentAway || !in.Observed.Synced || !in.Registered["default"].Known {
		return
	}
	for _, m := range in.Desired.Models {
		after := w.routed(in, m)
		for _, ns := range after {
			if !slices.Contains(before[m.Name], ns) && !whole(in, m, ns) {
				t.Fatalf("%s: %s enters the frontend's choice before all of it is registered, of %v%s", m.Name, ns, after, w.story(m.Name))
			}
		}
	}
}

// whole reports whether a namespace has an aggregated worker, or one of both other roles.
func whole(in actors.Input, m *actors.DesiredModel, ns string) bool {
	has := map[string]bool{}
	for _, i := range in.Registered[m.Server].Instances {
		if i.Namespace == ns {
			has[i.Component] = true
		}
	}
	slug := state.Slug(m.Spec.ServedName)
	return !has[slug+"_prefill"] && !has[slug+"_decode"] || has[slug+"_prefill"] && has[slug+"_decode"]
}
