package app

import (
	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/registry"
	"dynctl/state/same"
)

// other stands for what is no constant of ours.
const other = "Other"

// results of a round, by what came of it.
const (
	roundActed   = "acted"
	roundIdle    = "idle"
	roundQuiet   = "quiet"
	roundBlind   = "blind"
	roundLoading = "loading"
)

// exitReasons are how the agent says that a process ended.
var exitReasons = []string{actors.ExitExited, actors.ExitKilled, actors.ExitHung, actors.ExitStartupTimeout, actors.ExitExecFailed, actors.WaitPortConflict}

// begin makes the series that are known beforehand. One that comes into being at 1
// has not increased for who asks by how much, and a first scrape shows every name.
func (m *metrics) begin() {
	for _, result := range []string{roundActed, roundIdle, roundQuiet, roundBlind, roundLoading} {
		m.rounds.WithLabelValues(result)
	}
	for _, role := range []string{actors.RoleName(state.RoleAggregated), state.RolePrefill, state.RoleDecode} {
		m.timeToReady.WithLabelValues(role)
	}
	for _, reason := range append(state.Reasons(), other) {
		m.rejected.WithLabelValues(reason)
	}
	for _, kind := range []string{actors.ReasonDeleted, actors.ReasonLeftover, actors.ReasonOrphan, other} {
		m.swept.WithLabelValues(kind)
	}
	for _, cause := range []string{kv.ResyncReconnect, kv.ResyncRecreated, kv.ResyncGap, kv.ResyncClosed, registry.ResyncLost, registry.ResyncWentBack} {
		m.resyncs.WithLabelValues(cause)
	}
	m.beginServer(state.DefaultServer) // of every model that names none
}

// beginRestarts makes the series of what is declared, each once.
func (m *metrics) beginRestarts(in actors.Input) {
	for _, s := range in.Desired.Servers {
		m.beginServer(s.Name)
	}
	same.DiffPointers(m.declared, in.Desired.Models, (*actors.DesiredModel).Compare, func(_, d *actors.DesiredModel) {
		if d == nil {
			return
		}
		for _, r := range d.Template.Roles {
			m.beginRestartsOf(restart{server: d.Server, model: d.Name, role: actors.RoleName(r.Role)})
		}
	})
	m.declared = in.Desired.Models
}

// begunAtMost bounds what is begun beforehand, most of which never counts anything:
// a series costs a kilobyte.
const begunAtMost = 2000

func (m *metrics) beginServer(name string) {
	for _, role := range []string{roleEtcd, roleNATS, roleFrontend} {
		m.beginRestartsOf(restart{server: name, role: role})
	}
}

func (m *metrics) beginRestartsOf(r restart) {
	if m.begun[r] || len(m.begun) >= begunAtMost {
		return
	}
	m.begun[r] = true
	for _, reason := range exitReasons {
		m.restarts.WithLabelValues(r.server, r.model, r.role, reason)
	}
}
