package doctor

import (
	"strings"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
)

const nextOpen = "when its models may be away for a minute, delete server NAME with them and declare all again: etcd and NATS start closed then. " +
	"Until then let nobody else reach their ports: docs/operations.md#an-etcd-or-a-nats-that-is-open"

// services are the actors of a managed etcd and NATS, by the name of their port.
var services = []struct{ port, name string }{{"etcd", "etcd"}, {"nats", "NATS"}}

// dataPlane tells which managed etcd and NATS let in whoever reaches them: those of a fleet
// that began to run before there were passwords, which nothing restarts.
func (d *Doctor) dataPlane() {
	closed, found := []string{}, false
	for _, u := range d.units {
		var open []string
		for _, a := range u.Actors {
			for _, s := range services {
				switch {
				case a.State != state.UnitRunning || a.Ports[s.port] == 0:
				case a.Open:
					open = append(open, s.name)
				default:
					closed = append(closed, s.name+" of server "+u.Server)
				}
			}
		}
		if len(open) > 0 {
			found = true
			d.found(CheckDataPlane, Warn, strings.Replace(nextOpen, "NAME", u.Server, 1),
				"DataPlaneOpen: %s of server %s let in whoever reaches them, for they have run since before there were passwords", strings.Join(open, " and "), u.Server)
		}
	}
	switch {
	case found:
	case len(closed) > 0:
		d.found(CheckDataPlane, OK, "", "ask for a password: %s", prose.List(closed))
	default:
		d.found(CheckDataPlane, OK, "", "no etcd or NATS of a server runs")
	}
}
