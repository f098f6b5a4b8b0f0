package plan

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// serverRouting tells when the answer of a server's routing has changed, and when
// its frontend runs with what it carries of it.
func (r *round) serverRouting(s *server, st *state.Status) {
	st.RoutedBy = s.RoutedBy
	var before state.RouterStatus
	if s.Status != nil {
		st.RouterApplied = s.Status.RouterApplied
		if s.Status.Router != nil {
			before = *s.Status.Router
		}
	}
	if s.Status == nil || before.Mode != st.Router.Mode || before.KVEvents != st.Router.KVEvents {
		f := actors.Fact{Type: actors.FactRouterResolved, Server: s.Name, Generation: s.Template.Generation, Revision: s.Accepted,
			Reason: "RouterResolved", Message: routerText(*st.Router)}
		r.routedBy(&f, s, before)
		r.fact(f)
	}
	if !r.frontendIsCurrent(s) {
		return
	}
	if now := routingName(s.Template.Router); now != st.RouterApplied {
		st.RouterApplied = now
		r.fact(actors.Fact{Type: actors.FactRouterApplied, Server: s.Name, Generation: s.Template.Generation, Revision: s.Accepted, Reason: "RouterApplied",
			Message: "the frontend runs with " + routerText(s.Template.Router),
			Cause:   fmt.Sprintf("unit.%s.%s@%d", s.Name, actors.InfraUnit, s.infra.Revision)})
	}
}

// routedBy names the models that changed the answer, and the newest of the
// revisions that did. Where the models are the same, one of them or the server's
// own routing was edited.
func (r *round) routedBy(f *actors.Fact, s *server, before state.RouterStatus) {
	edited := s.Status != nil && s.Status.AcceptedRevision != s.Accepted
	anew := s.RoutedAnew
	if len(anew) == 0 && !edited {
		for _, m := range s.models {
			if slices.Contains(s.RoutedBy, m.Name) && (m.Status == nil || m.Status.AcceptedRevision != m.Accepted) {
				anew = append(anew, actors.ModelRevision{Name: m.Name, Revision: m.Accepted})
			}
		}
		slices.SortFunc(anew, func(a, b actors.ModelRevision) int { return strings.Compare(a.Name, b.Name) })
	}
	var names []string
	var newest actors.ModelRevision
	for _, m := range anew {
		names = append(names, m.Name)
		if m.Revision > newest.Revision {
			newest = m
		}
	}
	f.Models = strings.Join(names, ",")
	if newest.Revision == 0 || edited && before.Source != s.Router.Source {
		return
	}
	f.Revision = newest.Revision
	f.Cause = fmt.Sprintf("%s@%d", state.ModelKey(s.Name, newest.Name), newest.Revision)
	if len(names) == 1 {
		f.Model = names[0]
	}
}

// frontendIsCurrent reports whether the frontend is healthy and was executed as its
// template says.
func (r *round) frontendIsCurrent(s *server) bool {
	if s.infra == nil || s.infra.Generation != s.Template.Generation || s.infra.State == state.UnitStopping {
		return false
	}
	for _, t := range r.infraOf(s).Actors {
		if !t.IsFrontend() {
			continue
		}
		a := findActor(s.infra, t.Name)
		return a != nil && a.State == state.UnitRunning && a.Digest == t.Digest
	}
	return false
}

// modelRouting tells when the workers of a model that carry a routing of their own
// serve with it.
func (r *round) modelRouting(m *model, st *state.Status) {
	if !m.Carries {
		return
	}
	if m.Status != nil {
		st.RouterApplied = m.Status.RouterApplied
	}
	ready, _ := st.Condition(state.CondReady)
	if now := routingName(m.Router); ready.Status == state.StatusTrue && now != st.RouterApplied {
		st.RouterApplied = now
		r.fact(actors.Fact{Type: actors.FactRouterApplied, Server: m.Server, Model: m.Name, Generation: st.Generation, Revision: m.Accepted,
			Reason: "RouterApplied", Message: "its workers serve with " + routerText(m.Router), Models: m.Name})
	}
}

// routingName tells one routing from another; empty: none.
func routingName(r state.RouterStatus) string {
	if r.KVEvents {
		return r.Mode + " with KV events"
	}
	return r.Mode
}

// routerText is a router decision as a person reads it.
func routerText(r state.RouterStatus) string {
	mode := r.Mode
	if mode == "" {
		mode = "Dynamo's own round-robin"
	}
	events := "off"
	if r.KVEvents {
		events = "on"
	}
	return fmt.Sprintf("mode %s, KV events %s: %s", mode, events, r.Because)
}
