package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/registry"
	"dynctl/state/same"
)

// reach is where a server's etcd and frontend are.
type reach struct {
	etcd, frontend string
	scheme         string // of the frontend
}

// locate returns where the etcd and the frontend of each server are. While the agent
// is away its units are not known, and that is no reason to look away from what
// still runs: the last places count, after a restart those of the status.
func (l *loop) locate(in actors.Input) map[string]reach {
	out := map[string]reach{}
	for _, s := range in.Desired.Servers {
		r := reach{scheme: s.Template.FrontendScheme()}
		if !in.Observed.Synced {
			r.etcd, r.frontend = l.reached[s.Name].etcd, l.reached[s.Name].frontend
			if r.frontend == "" && s.Status != nil {
				r.frontend = strings.TrimSuffix(s.Status.Endpoint, "/v1")
			}
		}
		if s.Spec.Etcd.Endpoint != "" {
			r.etcd = s.Spec.Etcd.Endpoint
		}
		out[s.Name] = r
	}
	for _, u := range in.Observed.Units {
		if u.Unit != actors.InfraUnit || u.StoreID != in.Policy.StoreID {
			continue
		}
		if r, ok := out[u.Server]; ok {
			out[u.Server] = r.of(*u)
		}
	}
	return out
}

// of is where the actors of a server's infrastructure listen; what does not run is
// where it was.
func (r reach) of(u state.Unit) reach {
	for _, a := range u.Actors {
		if a.IP == "" || a.ChildPID == 0 {
			continue
		}
		if p, ok := a.Ports[actors.PortEtcd]; ok {
			r.etcd = fmt.Sprintf("http://%s:%d", a.IP, p)
		}
		if p, ok := a.Ports[actors.PortHTTP]; ok {
			r.frontend = fmt.Sprintf("%s://%s:%d", r.scheme, a.IP, p)
		}
	}
	return r
}

// aim points the registry and the frontend prober at what runs now. A model that the plan
// took as it was rests for the prober too: no unit of it, no registration and nothing that
// the frontend says of it is another than before.
func (l *loop) aim(in actors.Input) {
	l.reached = l.locate(in)
	l.served.follow(in.Desired.Models)
	etcds := map[string]string{}
	frontends := map[string]registry.FrontendTarget{}
	settled := map[string]bool{}
	for server, r := range l.reached {
		etcds[server], settled[server] = r.etcd, true
		frontends[server] = registry.FrontendTarget{URL: r.frontend, Models: l.served.names[server]}
	}
	for _, m := range l.oracle.planner.Awake() {
		t, known := frontends[m.Server]
		if m.Accepted == 0 || !known || isSilent(in, m) {
			continue
		}
		t.Awake = append(t.Awake, m.Spec.ServedName)
		if !isSettled(m) {
			settled[m.Server] = false
			t.Moving = append(t.Moving, m.Spec.ServedName)
		}
		frontends[m.Server] = t
	}
	l.app.registry.Set(etcds)
	l.app.frontends.Set(frontends)
	for s, ok := range settled {
		l.app.frontends.Settle(s, ok)
	}
}

// served are the names of the models that a frontend is asked for, by server.
type served struct {
	models []*actors.DesiredModel
	names  map[string][]string
}

// follow brings it to what is desired. As long as the same models are served the lists stay.
func (s *served) follow(models []*actors.DesiredModel) {
	moved := s.names == nil
	same.DiffPointers(s.models, models, (*actors.DesiredModel).Compare, func(was, now *actors.DesiredModel) {
		moved = moved || servedAs(was) != servedAs(now)
	})
	s.models = models
	if !moved {
		return
	}
	s.names = map[string][]string{}
	for _, m := range models {
		if m.Accepted != 0 {
			s.names[m.Server] = append(s.names[m.Server], m.Spec.ServedName)
		}
	}
}

// servedAs is the name under which a model is asked for; empty: it is not.
func servedAs(m *actors.DesiredModel) string {
	if m == nil || m.Accepted == 0 {
		return ""
	}
	return m.Spec.ServedName
}

// isSilent reports whether there is nothing to hear from the frontend of a model yet: etcd has
// no worker of it, and the frontend knew of none when it was asked last. While an engine loads
// its model for minutes, it is etcd that tells when to ask again.
func isSilent(in actors.Input, m *actors.DesiredModel) bool {
	regs, view := in.Registered[m.Server], in.Frontends[m.Server]
	said := view.Models[m.Spec.ServedName]
	if !regs.Known || !view.Known || said.Listed || said.Ready || len(said.Namespaces) > 0 {
		return false
	}
	i, found := slices.BinarySearchFunc(in.Desired.Servers, m.Server, func(s actors.DesiredServer, name string) int { return cmp.Compare(s.Name, name) })
	if !found {
		return false
	}
	registered := func(t *actors.ModelTemplate) bool {
		namespace := actors.Namespace(in.Desired.Servers[i].Spec.DynamoNamespace, t.Generation)
		_, found := slices.BinarySearchFunc(regs.Instances, namespace, func(x state.Instance, name string) int { return cmp.Compare(x.Namespace, name) })
		return found
	}
	if registered(&m.Template) || m.Previous != nil && registered(m.Previous) {
		return false
	}
	for k := range m.Others {
		if registered(&m.Others[k]) {
			return false
		}
	}
	return true
}

// isSettled reports whether the frontend's word on a model is not expected to change.
func isSettled(m *actors.DesiredModel) bool {
	if m.Status == nil || m.Deleted != nil || m.Status.Generation != m.Template.Generation {
		return false
	}
	ready, _ := m.Status.Condition(state.CondReady)
	current, _ := m.Status.Condition(state.CondUpToDate)
	return ready.Status == state.StatusTrue && current.Status == state.StatusTrue ||
		ready.Reason == actors.CondScaledToZero || ready.Reason == actors.CondSuspended
}
