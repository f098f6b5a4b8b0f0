package plan

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// Why etcd does not answer is how it ended, where it did, and not that it has no address.
func TestWhyNoEtcd(t *testing.T) {
	infra := func(a state.Actor) *server {
		v := &state.Unit{Actors: []state.Actor{{Name: "dynamo_s_00000000_Dynamo_NATS", State: state.UnitRunning}, a}}
		s := &server{infra: v}
		s.regs.Err = "etcd has no address yet"
		return s
	}
	name := "dynamo_s_00000000_" + actors.LabelEtcd
	exit := &state.Exit{Attempt: 3, Code: 127, Reason: actors.WaitPortConflict, Cause: "port 2379 (etcd) is in use on this node"}
	for _, row := range []struct {
		name string
		s    *server
		want string
	}{
		{"no infra", &server{}, "Dynamo's etcd does not answer yet"},
		{"it starts", infra(state.Actor{Name: name, State: state.UnitStarting}), "etcd has no address yet"},
		{"it runs again", infra(state.Actor{Name: name, State: state.UnitRunning, Exit: exit}), "etcd has no address yet"},
		{"it has ended", infra(state.Actor{Name: name, State: state.UnitExited, Exit: exit}), "etcd does not run: " + name + ", attempt 3: PortConflict, code 127: port 2379 (etcd) is in use"},
	} {
		if got := row.s.whyNoEtcd(); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
