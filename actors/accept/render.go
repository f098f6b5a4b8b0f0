package accept

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/render"
	"dynctl/router"
	"dynctl/state"
)

// desired renders what is accepted and not rendered yet, sorted by server and name.
func (a *accepter) desired() actors.Desired {
	d := actors.Desired{Synced: a.in.Synced, Awaited: a.awaited}
	was := a.memo.before.basis
	a.memo.before.basis = make(map[string]basis, len(a.servers))
	for _, name := range slices.Sorted(maps.Keys(a.servers)) {
		s, restless := a.servers[name], within(a.restless, name)
		if !a.concerns(s) {
			for _, m := range restless { // all of them are gone
				a.rest(m, basis{})
			}
			a.judged = append(a.judged, restless...)
			continue
		}
		models := a.modelsOf(name)
		a.finishServer(s, models, restless)
		b := a.basisOf(s)
		if before, known := was[name]; known && before == b && a.changed != nil {
			models = restless // what rests under another one has to be judged by this one
		}
		for _, m := range models {
			a.finishModel(s, m, b)
			m.listed = !a.isGone(m)
		}
		a.judged = append(a.judged, models...)
		a.memo.before.basis[name] = b
		d.Servers = append(d.Servers, s.DesiredServer)
	}
	d.Models = a.list()
	return d
}

func (a *accepter) finishServer(s *acceptedServer, models, restless []*acceptedModel) {
	if a.restsWith(s, len(models)) && len(restless) == 0 {
		return
	}
	delete(a.kept, state.ServerKey(s.Name))
	set := a.routedOf(s.Name, models, restless)
	s.asStored = false
	if !s.Recovering {
		a.renderServer(s, set)
	}
	s.Spec = s.object.Spec
	s.Warnings = slices.Concat(warnServer(a.parsers(s.object.Spec.RuntimeEnv), s.object, set), a.releases.Warn(s.Name), a.warnPolicyServer(s))
	a.restServer(s, len(models))
}

// finishModel renders a model, unless it rests as it is.
func (a *accepter) finishModel(s *acceptedServer, m *acceptedModel, b basis) {
	if m.rests && m.basis == b {
		return
	}
	if m.rests { // its server is another one now
		delete(a.kept, m.key)
		m.Outdated, m.Rejected, m.Warnings = false, nil, nil
	}
	m.asStored = false
	if m.Accepted != 0 && !m.Recovering {
		a.renderModel(s, m)
		known := a.memo.warnings(m.key, m.Accepted, s.Accepted, func() []state.Warning {
			return slices.Concat(warnModel(a.parsersUnder(s, m.object), m.object, s.object.Spec), a.warnPolicyModel(m))
		})
		m.Warnings = slices.Concat(known, a.warnCard(s, m))
	}
	m.Spec = m.object.Spec
	a.rest(m, b)
}

// concerns reports whether something of a server is wanted, known or left.
func (a *accepter) concerns(s *acceptedServer) bool {
	if s.Explicit || s.Rejected != nil || s.Status != nil {
		return true
	}
	return a.hasUnitsOn(s.Name) || slices.ContainsFunc(a.modelsOf(s.Name), func(m *acceptedModel) bool {
		return m.Deleted == nil || m.Status != nil
	})
}

// routedModels are the models that the routing of a server is resolved from: all
// accepted ones that bear on it but those that are being deleted for sure.
func routedModels(models []*acceptedModel) []router.Model {
	var out []router.Model
	for _, m := range models {
		if bears(m) {
			out = append(out, router.Model{Name: m.Name, Spec: m.object.Spec})
		}
	}
	return out
}

func bears(m *acceptedModel) bool {
	return m.Accepted != 0 && router.Bears(&m.object.Spec) && !m.DeletedForGood()
}

// renderServer renders the infra unit for a new revision. A new routing alone
// replaces the frontend and leaves etcd and NATS as they were rendered.
func (a *accepter) renderServer(s *acceptedServer, set []router.Model) {
	resolved := router.Resolve(s.object.Spec.Router, set)
	s.Router, s.RoutedBy = routerStatus(resolved), resolved.Models
	s.RoutedAnew = a.routedAnew(s)
	flags := routerStatus(a.forFrontend(s, set))
	stored := s.stored.Server
	fresh := stored == nil || revisionOf(stored, s.Status) != s.Accepted || !state.SameBucket(noted(stored.In, s.Status), s.AcceptedIn)
	if !fresh && sameAnswer(stored.Router, flags) {
		s.Template = *stored
		if s.Status != nil {
			a.kept[state.ServerKey(s.Name)], s.asStored = asKept(s.raw, s.Status), true
		}
		return
	}
	t := render.Server(render.ServerInput{Server: s.Name, Spec: s.object.Spec, Router: flags, Revision: s.Accepted, Parsers: a.parsers(s.object.Spec.RuntimeEnv)})
	if !fresh {
		t.Actors = withFrontend(stored.Actors, render.ServerInGeneration(t, stored.Generation).Actors)
		t.Generation = stored.Generation
	}
	t.In = s.AcceptedIn
	if s.forced != "" {
		t = render.ServerInGeneration(t, s.forced)
	}
	s.Template = t
	a.keep(state.ServerKey(s.Name), s.raw, storedTemplates{Server: &t})
}

// revisionOf is the revision that a server's template was rendered from; of one from before
// that was noted, which says 0, it is the one that the status beside it accepts.
func revisionOf(t *actors.ServerTemplate, beside *state.Status) uint64 {
	if t.Revision == 0 && beside != nil {
		return beside.AcceptedRevision
	}
	return t.Revision
}

// routedAnew compares the models that make the answer with those that did when it
// was last told.
func (a *accepter) routedAnew(s *acceptedServer) []actors.ModelRevision {
	var before []string
	if s.Status != nil {
		before = s.Status.RoutedBy
	}
	var out []actors.ModelRevision
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, s.RoutedBy)))) {
		if slices.Contains(before, name) != slices.Contains(s.RoutedBy, name) {
			out = append(out, actors.ModelRevision{Name: name, Revision: a.revisionOf(state.ModelKey(s.Name, name))})
		}
	}
	return out
}

func sameAnswer(x, y state.RouterStatus) bool { return x.Mode == y.Mode && x.KVEvents == y.KVEvents }

// withFrontend takes every actor but the frontend as it was stored.
func withFrontend(stored, fresh []actors.ActorTemplate) []actors.ActorTemplate {
	out := slices.Clone(stored)
	for i, t := range out {
		if !t.IsFrontend() {
			continue
		}
		for _, f := range fresh {
			if f.IsFrontend() {
				out[i] = f
			}
		}
	}
	return out
}

func routerStatus(d router.Decision) state.RouterStatus {
	return state.RouterStatus{Mode: d.Mode, KVEvents: d.KVEvents, Source: d.Source, Because: d.Because}
}

// renderModel renders a model for a new revision of it or of its server.
func (a *accepter) renderModel(s *acceptedServer, m *acceptedModel) {
	m.Router, m.Carries = a.effectiveRouter(s, m)
	stored, changed := a.settled(m)
	if stored.Model != nil && renderedFrom(*stored.Model, s, m) {
		m.take(stored)
		m.Outdated = a.outdated(s, m)
		switch {
		case changed, m.recovered:
			a.keep(m.key, m.raw, stored)
		case m.Status != nil:
			a.kept[m.key], m.asStored = asKept(m.raw, m.Status), true
		}
		return
	}
	t, bad := render.Model(a.modelInput(s, m))
	if bad != nil {
		// Validation lets nothing through that cannot be rendered; were it otherwise,
		// what runs is kept.
		m.Rejected = joinInvalid([]*state.Invalid{bad})
		if stored.Model != nil {
			m.take(stored)
		} else {
			m.Accepted = 0
		}
		return
	}
	t.In, t.ServerIn, t.Counts = m.AcceptedIn, s.AcceptedIn, map[string]int{}
	for _, r := range t.Roles {
		t.Counts[r.Role] = actors.Replicas(m.object.Spec, r.Role)
	}
	fresh, _ := stored.replaced(t).pruned(func() map[string]bool { return a.generations(m) })
	if bad := a.tooLarge(m.Status, a.keep(m.key, m.raw, fresh)); bad != nil {
		a.refuse(s, m, bad)
		return
	}
	m.take(fresh)
}

// storedSize is what a status keeps of a spec and its templates, in bytes.
func storedSize(st *state.Status) int {
	if st == nil {
		return 0
	}
	return len(st.AcceptedSpec) + len(st.Template)
}

// tooLarge says why what an object renders to cannot be kept; where it can, it counts.
func (a *accepter) tooLarge(was *state.Status, size int) *state.Invalid {
	more := size - storedSize(was)
	switch {
	case a.in.MaxStatus > 0 && size > a.in.MaxStatus:
		return &state.Invalid{Reason: state.ReasonTooLarge, Message: fmt.Sprintf(
			"with what it renders to, its status would have %d bytes, and this store takes %d; make its arguments or its environment smaller", size, a.in.MaxStatus)}
	case a.in.MaxStored > 0 && more > 0 && a.stored+more > a.in.MaxStored:
		return &state.Invalid{Reason: state.ReasonTooManyBytes, Message: fmt.Sprintf(
			"it renders to %d bytes more, and with those of all others that is more than %d, which is twice the reconciler's --max-current-bytes: "+
				"make its arguments or its environment smaller, delete some, or raise it", more, a.in.MaxStored)}
	}
	a.stored += more
	return nil
}

// refuse goes back to what ran before: the revision before one whose status cannot be
// kept, or the templates as they are where the server's new revision asks for larger ones.
func (a *accepter) refuse(s *acceptedServer, m *acceptedModel, bad *state.Invalid) {
	delete(a.kept, m.key)
	rejected := joinInvalid([]*state.Invalid{bad})
	switch was := m.before; {
	case was != nil:
		m.object, m.raw, m.Accepted, m.AcceptedIn, m.before = was.object, was.raw, was.Accepted, was.AcceptedIn, nil
		if m.Accepted != 0 {
			a.renderModel(s, m)
		}
	case m.stored.Model != nil:
		m.take(m.stored)
		if m.Status != nil {
			a.kept[m.key] = asKept(m.raw, m.Status)
		}
	default:
		m.Accepted = 0
	}
	m.Rejected = rejected
}

// renderedFrom reports whether a template is of the revisions that are accepted.
func renderedFrom(t actors.ModelTemplate, s *acceptedServer, m *acceptedModel) bool {
	return t.Revision == m.Accepted && state.SameBucket(noted(t.In, m.Status), m.AcceptedIn) &&
		t.ServerRevision == s.Accepted && state.SameBucket(noted(t.ServerIn, s.Status), s.AcceptedIn)
}

// noted is the bucket of a template's revision; one from before that was noted is of
// the bucket that the status beside it is of.
func noted(in time.Time, beside *state.Status) time.Time {
	if in.IsZero() && beside != nil {
		return beside.AcceptedIn
	}
	return in
}

func (m *acceptedModel) take(s storedTemplates) {
	m.Template, m.Previous, m.Others = *s.Model, s.Previous, s.Others
}

func (a *accepter) modelInput(s *acceptedServer, m *acceptedModel) render.ModelInput {
	return render.ModelInput{Server: s.Name, ServerSpec: s.object.Spec, Model: m.Name, Spec: m.object.Spec, Parsers: a.parsersUnder(s, m.object),
		Revision: m.Accepted, ServerRevision: s.Accepted}
}

// outdated reports whether this program would render another generation than the one
// stored, which an older version rendered.
func (a *accepter) outdated(s *acceptedServer, m *acceptedModel) bool {
	if m.stored.Model.Renderer == render.Version {
		return false
	}
	t, bad := render.Model(a.modelInput(s, m))
	return bad == nil && t.Generation != m.stored.Model.Generation
}

// effectiveRouter is the routing that requests for a model meet: that of its own
// card, else the frontend's. It reports whether it is the card's.
func (a *accepter) effectiveRouter(s *acceptedServer, m *acceptedModel) (r state.RouterStatus, carried bool) {
	if a.releases.NoCards() {
		return s.Template.Router, false
	}
	own, bad := router.ForModel(s.object.Spec.Router, router.Model{Name: m.Name, Spec: m.object.Spec})
	if bad == nil && own.Mode != "" {
		return routerStatus(own), true
	}
	if s.Template.Router.Mode == "" && own.Because != "" {
		return routerStatus(own), false
	}
	return s.Template.Router, false
}

// forFrontend is the routing that the frontend carries. Where a node's Dynamo has workers
// that carry none, it is as if the server said apply: frontend.
func (a *accepter) forFrontend(s *acceptedServer, set []router.Model) router.Decision {
	spec := s.object.Spec.Router
	if !a.releases.NoCards() || spec.Apply == state.ApplyFrontend {
		return router.ForFrontend(spec, set)
	}
	spec.Apply = state.ApplyFrontend
	d := router.ForFrontend(spec, set)
	d.Because += fmt.Sprintf(" The frontend carries it (apply: frontend), for workers of Dynamo %s carry none.", a.releases.Oldest())
	return d
}

// warnCard warns of a routing that a model asks for and its workers cannot carry.
func (a *accepter) warnCard(s *acceptedServer, m *acceptedModel) []state.Warning {
	if !a.releases.NoCards() {
		return nil
	}
	own, bad := router.ForModel(s.object.Spec.Router, router.Model{Name: m.Name, Spec: m.object.Spec})
	if bad != nil || own.Source != router.SourceModel || own.Mode == "" {
		return nil
	}
	return []state.Warning{{Key: m.key.String(), Path: "spec.router", Message: fmt.Sprintf(
		"it has no effect: workers of Dynamo %s carry no routing of their own, and the frontend's holds; install Dynamo %s or later",
		a.releases.Oldest(), render.CardsSince)}}
}

// keep notes what the status of an object has to store, and returns its size in bytes.
func (a *accepter) keep(k state.Key, raw json.RawMessage, s storedTemplates) int {
	b, err := json.Marshal(s)
	if err != nil {
		return 0 // plain data: it marshals
	}
	a.kept[k] = Kept{Spec: raw, Template: b}
	return len(raw) + len(b)
}
