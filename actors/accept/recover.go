package accept

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/render"
	"dynctl/state"
)

// recoverServers finds what was accepted of servers whose infra runs and whose status
// does not say. What was accepted stands in the statuses; where one is lost, or cannot be
// read, and units of its object run, accepting the newest revision as if it were the first
// could roll or stop them: it may never have been accepted, or be rendered differently by
// now. So what runs says what was accepted, of models too ([accepter.recoverModels]). The
// rules, first match wins:
//
//  1. a revision renders to a generation that has units: that one was accepted, the
//     newest such
//  2. what runs, or the history of the spec, is not known yet: the object waits
//  3. the newest valid revision stands for it under the generation that runs, as if
//     an older version of this program had rendered it: nothing rolls until it is
//     edited or restarted
//
// Whatever is newer than that is then accepted or rejected as always.
func (a *accepter) recoverServers() {
	for _, name := range slices.Sorted(maps.Keys(a.servers)) {
		s := a.servers[name]
		key := state.ServerKey(name)
		if a.keptUnread(key, s.Status, s.Accepted) {
			s.Recovering = true
			continue
		}
		if s.stored.Server != nil {
			continue
		}
		if a.in.Lost[key] && !a.in.Observed {
			a.await(key)
			s.Recovering = true
			continue
		}
		infra := a.generationsOf(key)
		if len(infra) == 0 {
			continue
		}
		candidates, complete := a.candidates(key)
		defaults := Entry{Key: key, Doc: state.Doc{Object: state.Object{Server: new(state.DefaultedServer(name))}}}
		for _, c := range append(slices.Clone(candidates), defaults) {
			if c.Doc.Object.Server == nil {
				continue
			}
			object := c.Doc.Object.Server.WithDefaults()
			if t := render.Server(render.ServerInput{Server: name, Spec: object.Spec, Parsers: a.parsers(object.Spec.RuntimeEnv)}); infra[t.Generation] > 0 { // rule 1
				s.adopt(c, object, a.in.Created)
				break
			}
		}
		switch {
		case s.recovered:
		case !complete: // rule 2
			a.await(key)
			s.Recovering = true
		case len(candidates) > 0: // rule 3
			s.adopt(candidates[0], candidates[0].Doc.Object.Server.WithDefaults(), a.in.Created)
			s.forced = most(infra)
		default:
			s.forced = most(infra)
		}
	}
}

// keptUnread reports whether a status keeps an accepted document that cannot be read here,
// as one of an apiVersion that this program does not know: it is left as it is, until a
// program that can read it runs, or until the spec is written so that this one can.
func (a *accepter) keptUnread(key state.Key, st *state.Status, accepted uint64) bool {
	if st == nil || accepted != 0 || st.AcceptedRevision == 0 || len(st.AcceptedSpec) == 0 {
		return false
	}
	e := a.entryOf(key)
	return e == nil || e.Err != nil || e.Missing
}

func (s *acceptedServer) adopt(e Entry, object state.Server, created time.Time) {
	s.object, s.recovered = object, true
	if e.Revision != 0 {
		s.raw, s.Accepted, s.Explicit, s.AcceptedIn = e.Doc.Raw, e.Revision, true, created
	}
}

// recoverModels does the same for models.
func (a *accepter) recoverModels() {
	for _, m := range a.restless {
		if m.Accepted != 0 && m.stored.Model != nil || m.Deleted != nil {
			continue
		}
		s := a.servers[m.Server]
		if a.keptUnread(m.key, m.Status, m.Accepted) {
			m.Recovering = true
			continue
		}
		if s.Recovering || a.in.Lost[m.key] && !a.in.Observed {
			a.await(m.key)
			m.Recovering = true
			continue
		}
		running := a.generationsOf(m.key)
		if len(running) == 0 {
			continue
		}
		if a.recoverModel(s, m, running); m.recovered {
			a.memo.claim(m)
		}
	}
}

func (a *accepter) recoverModel(s *acceptedServer, m *acceptedModel, running map[string]int) {
	var first *actors.ModelTemplate
	var firstOf Entry
	candidates, complete := a.candidates(m.key)
	for _, c := range candidates {
		object := c.Doc.Object.Model.WithDefaults()
		if len(invalidModel(nil, object, s.object.Spec)) > 0 {
			continue
		}
		t, bad := a.renderRevision(s, m, c, object)
		switch {
		case bad != nil:
		case running[t.Generation] > 0: // rule 1 of recoverServers
			m.adopt(c, object, t)
			return
		case first == nil && len(a.in.Policy.Model(object)) == 0:
			first, firstOf = &t, c
		}
	}
	switch {
	case !complete: // rule 2 of recoverServers
		a.await(m.key)
		m.Recovering = true
	case first != nil: // rule 3 of recoverServers
		object := firstOf.Doc.Object.Model.WithDefaults()
		first.Generation, first.Renderer = most(running), 0
		in := render.ModelInput{Server: s.Name, ServerSpec: s.object.Spec, Model: m.Name, Spec: object.Spec, Parsers: a.parsersUnder(s, object)}
		if t, bad := in.InGeneration(*first); bad == nil {
			m.adopt(firstOf, object, t)
		}
	}
}

func (a *accepter) renderRevision(s *acceptedServer, m *acceptedModel, e Entry, object state.Model) (actors.ModelTemplate, *state.Invalid) {
	t, bad := render.Model(render.ModelInput{Server: s.Name, ServerSpec: s.object.Spec, Model: m.Name, Spec: object.Spec, Parsers: a.parsersUnder(s, object),
		Revision: e.Revision, ServerRevision: s.Accepted})
	if bad == nil {
		t.In, t.ServerIn, t.Counts = a.in.Created, s.AcceptedIn, map[string]int{}
		for _, r := range t.Roles {
			t.Counts[r.Role] = actors.Replicas(object.Spec, r.Role)
		}
	}
	return t, bad
}

// adopt takes a revision as the accepted one. It runs, so it was Ready, or is about to.
func (m *acceptedModel) adopt(e Entry, object state.Model, t actors.ModelTemplate) {
	t.Proven = true
	m.object, m.raw, m.Accepted, m.AcceptedIn = object, e.Doc.Raw, e.Revision, t.In
	m.stored, m.recovered = storedTemplates{Model: &t}, true
}

// candidates are the revisions of an object that are documents, newest first;
// complete: those that history holds are among them.
func (a *accepter) candidates(key state.Key) (out []Entry, complete bool) {
	past, complete := a.in.Past[key]
	all := slices.Clone(past)
	if e := a.entryOf(key); e != nil {
		all = append(all, *e)
	}
	slices.SortStableFunc(all, func(x, y Entry) int { return cmp.Compare(y.Revision, x.Revision) })
	for _, e := range all {
		valid := !e.Deleted && e.Err == nil && (e.Doc.Object.Server != nil || e.Doc.Object.Model != nil)
		if valid && (len(out) == 0 || out[len(out)-1].Revision != e.Revision) {
			out = append(out, e)
		}
	}
	return out, complete
}

// most is the generation with most units, of those with as many the first.
func most(generations map[string]int) string {
	return slices.MaxFunc(slices.SortedFunc(maps.Keys(generations), func(x, y string) int { return cmp.Compare(y, x) }), func(x, y string) int {
		return cmp.Compare(generations[x], generations[y])
	})
}

// await asks for the history of an object.
func (a *accepter) await(key state.Key) { a.awaited = append(a.awaited, key) }
