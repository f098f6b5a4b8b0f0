package accept

import (
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// WarnModel returns what a valid model says and what does not do what it seems to
// on its server. Both specs have their defaults filled in.
func WarnModel(m state.Model, server state.ServerSpec) []state.Warning {
	return warnModel(nil, m, server)
}

// warnModel is WarnModel with the command lines that the nodes take.
func warnModel(tables engineflags.Set, m state.Model, server state.ServerSpec) []state.Warning {
	routing := router.Warn(server.Router, router.Model{Name: m.Metadata.Name, Spec: m.Spec})
	return keyed(state.ModelKey(m.Metadata.Server, m.Metadata.Name), state.WarnMetadata(m.Metadata, state.KindModel), state.WarnModelFor(tables, m.Spec, server), routing)
}

// WarnServer is the same for a server and the accepted models that are routed by it.
func WarnServer(s state.Server, models []router.Model) []state.Warning {
	return warnServer(nil, s, models)
}

func warnServer(tables engineflags.Set, s state.Server, models []router.Model) []state.Warning {
	return keyed(state.ServerKey(s.Metadata.Name),
		state.WarnMetadata(s.Metadata, state.KindServer), state.WarnServerFor(tables, s.Spec), router.WarnServer(s.Spec.Router, models), router.WarnServerArgs(s.Spec, models))
}

// keyed joins the warnings of one object.
func keyed(k state.Key, lists ...[]state.Warning) []state.Warning {
	var out []state.Warning
	for _, list := range lists {
		for _, w := range list {
			w.Key = k.String()
			out = append(out, w)
		}
	}
	return out
}
