package accept

import (
	"fmt"
	"slices"

	"dynctl/actors"
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// Whether a new revision may run.

func (a *accepter) checkServer(s *acceptedServer, e Entry) (state.Server, *actors.Rejection) {
	if e.Err != nil {
		return state.Server{}, rejectionOf(e.Err)
	}
	object := e.Doc.Object.Server.WithDefaults()
	if bad := state.ValidateServerFor(a.parsers(object.Spec.RuntimeEnv), object); len(bad) > 0 {
		return object, joinInvalid(bad)
	}
	if bad := invalids(a.in.Policy.Server(object)); len(bad) > 0 {
		return object, joinInvalid(bad)
	}
	if a.hasWorkers(s.Name) {
		if bad := state.CheckMove(s.object, object, s.Accepted); bad != nil {
			return object, joinInvalid([]*state.Invalid{bad})
		}
	}
	if bad := state.ConflictServers(object, a.sharingEtcd(s, object)); bad != nil {
		return object, joinInvalid([]*state.Invalid{bad})
	}
	return object, a.checkModelsUnder(s.Name, object)
}

// checkModel is why a revision of a model may not run: it is not valid, another model has
// a name of it, or the policy denies it.
func (a *accepter) checkModel(m *acceptedModel, object state.Model) []*state.Invalid {
	s := a.servers[m.Server]
	if bad := invalidModel(a.parsersUnder(s, object), object, s.object.Spec); len(bad) > 0 {
		return bad
	}
	if x := state.ConflictModels(object, a.sharing(m, object)); x != nil {
		return []*state.Invalid{x}
	}
	return a.deniedModel(m, object)
}

// checkModelsUnder refuses a server under which an accepted model would no longer
// be valid: a bad spec never stops what already runs. A model that is not valid as it
// is, because an older version accepted it, stands in nobody's way.
func (a *accepter) checkModelsUnder(server string, object state.Server) *actors.Rejection {
	for _, m := range a.modelsOf(server) {
		if m.Accepted == 0 || m.Deleted != nil {
			continue
		}
		if bad := invalidModel(nil, m.object, object.Spec); len(bad) > 0 && len(invalidModel(nil, m.object, a.servers[server].object.Spec)) == 0 {
			r := joinInvalid(bad)
			r.Message = fmt.Sprintf("with it model %s would not be valid: %s", m.Name, r.Message)
			return r
		}
	}
	return nil
}

func (a *accepter) hasWorkers(server string) bool {
	return slices.ContainsFunc(a.in.Units, func(u *state.Unit) bool { return u.Server == server && u.Model != "" })
}

// invalidModel is every reason why a model is not valid under a server.
func invalidModel(tables engineflags.Set, m state.Model, server state.ServerSpec) []*state.Invalid {
	bad := state.ValidateModelFor(tables, m, server)
	if len(bad) > 0 {
		return bad
	}
	if x := router.Check(server.Router, router.Model{Name: m.Metadata.Name, Spec: m.Spec}); x != nil {
		return []*state.Invalid{x}
	}
	return nil
}

// rejectionOf tells of a document that cannot be read. Its text fits into a status,
// an event and a log line.
func rejectionOf(err error) *actors.Rejection {
	return &actors.Rejection{Reason: state.ReasonOf(err), Message: state.Clip(state.Visible(err.Error()), state.MaxMessage)}
}

func joinInvalid(bad []*state.Invalid) *actors.Rejection {
	var f state.Faults
	for _, b := range bad {
		f.Add(b)
	}
	return &actors.Rejection{Reason: bad[0].Reason, Message: f.OneLine()}
}
