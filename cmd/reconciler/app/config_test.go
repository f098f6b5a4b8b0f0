package app

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// The agent of a Ray on another machine must be told an address that means this
// machine there.
func TestTheAgentIsToldAnAddressOfThisMachine(t *testing.T) {
	const remote, cluster = "--ray-address=http://10.0.0.7:8265", "--raycluster=ns/ray"
	for _, row := range []struct {
		args []string
		ok   bool
	}{
		{nil, true},
		{[]string{"--listen=0.0.0.0:4322"}, true},
		{[]string{remote}, false},
		{[]string{cluster}, false},
		{[]string{remote, "--listen=0.0.0.0:4322"}, false},
		{[]string{remote, "--listen=:4322"}, false},
		{[]string{remote, "--listen=[::]:4322"}, false},
		{[]string{cluster, "--listen=0.0.0.0:4322"}, false},
		{[]string{remote, "--listen=10.0.0.1:4322"}, true},
		{[]string{remote, "--listen=0.0.0.0:4322", "--advertise-nats-url=nats://10.0.0.1:4322"}, true},
		{[]string{remote, "--listen=0.0.0.0:4322", "--advertise-nats-url=nats://0.0.0.0:4322"}, false},
		{[]string{remote, "--nats-url=nats://a:4222,nats://0.0.0.0:4222"}, false},
		{[]string{remote, "--nats-url=nats://nats.example:4222"}, true},
	} {
		_, err := ParseFlags(row.args, io.Discard)
		switch {
		case (err == nil) != row.ok:
			t.Errorf("%v: %v", row.args, err)
		case err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "--advertise-nats-url")):
			t.Errorf("%v: %v, want the flag to use", row.args, err)
		}
	}
}
