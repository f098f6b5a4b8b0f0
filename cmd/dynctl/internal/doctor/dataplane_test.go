package doctor

import (
	"strings"
	"testing"

	"dynctl/state"
)

// TestDataPlaneThatIsOpen: an etcd or a NATS that lets in whoever reaches it is named, with
// its server and the way out.
func TestDataPlaneThatIsOpen(t *testing.T) {
	infra := func(server string, etcdOpen, natsOpen bool) *state.Unit {
		return &state.Unit{Server: server, Unit: "infra", Actors: []state.Actor{
			{State: state.UnitRunning, Ports: map[string]int{"etcd": 2379, "etcd-peer": 2380}, Open: etcdOpen},
			{State: state.UnitRunning, Ports: map[string]int{"nats": 4222}, Open: natsOpen},
			{State: state.UnitRunning, Ports: map[string]int{"http": 8000}},
		}}
	}
	for _, tc := range []struct {
		name         string
		units        []*state.Unit
		result, want string
	}{
		{"closed", []*state.Unit{infra("chat", false, false)}, OK, "ask for a password: etcd of server chat, NATS of server chat"},
		{"open", []*state.Unit{infra("new", false, false), infra("old", true, true)}, Warn, "DataPlaneOpen: etcd and NATS of server old let in"},
		{"one of them", []*state.Unit{infra("old", false, true)}, Warn, "DataPlaneOpen: NATS of server old let in"},
		{"none", nil, OK, "no etcd or NATS of a server runs"},
	} {
		d := Doctor{units: tc.units}
		d.dataPlane()
		if len(d.findings) != 1 || d.findings[0].Result != tc.result || !strings.Contains(d.findings[0].Message, tc.want) {
			t.Errorf("%s: got %+v, want %s: %s", tc.name, d.findings, tc.result, tc.want)
		}
		if tc.result == Warn && !strings.Contains(d.findings[0].Next, "delete server old") {
			t.Errorf("%s: the way out is %q", tc.name, d.findings[0].Next)
		}
	}
}
