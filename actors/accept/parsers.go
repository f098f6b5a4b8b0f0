package accept

import (
	"maps"

	"dynctl/actors/render"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// parsers are the command lines that count for processes with a runtime_env: those of
// the nodes, unless it brings programs that nobody knows before.
func (a *accepter) parsers(env state.Args) engineflags.Set {
	if render.BringsPackages(env) {
		return nil
	}
	return a.in.Parsers
}

// parsersUnder is parsers for a model of a server.
func (a *accepter) parsersUnder(s *acceptedServer, m state.Model) engineflags.Set {
	return a.parsers(state.MergeRuntimeEnv(s.object.Spec.RuntimeEnv, m.Spec.RuntimeEnv))
}

// parsers forgets what was warned of when the nodes take other command lines.
func (m *Memo) parsers(tables engineflags.Set) {
	if !maps.Equal(m.tables, tables) {
		m.tables, m.warned = maps.Clone(tables), nil
		m.taught++
	}
}
