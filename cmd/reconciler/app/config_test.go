package app

import (
	"errors"
	"io"
	"os"
	"path/filepath"
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
		{[]string{"--rayservice=ns/chat"}, false},
		{[]string{"--rayservice=ns/chat", "--listen=10.0.0.1:4322"}, true},
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

// One flag names the Ray cluster, and those of KubeRay want a namespace.
func TestFlagsOfTheRayCluster(t *testing.T) {
	for _, row := range []struct {
		args []string
		says string // empty: it is fine
	}{
		{[]string{"--raycluster=ns/ray"}, ""},
		{[]string{"--rayservice=ns/chat"}, ""},
		{[]string{"--raycluster=ray"}, "--raycluster"},
		{[]string{"--rayservice=chat"}, "--rayservice"},
		{[]string{"--raycluster=ns/ray", "--rayservice=ns/chat"}, "one of them"},
		{[]string{"--ray-address=https://ray.example", "--ray-ca=ca.crt"}, ""},
		{[]string{"--ray-address=http://ray.example", "--ray-ca=ca.crt"}, "--ray-address https://HOST"},
		{[]string{"--raycluster=ns/ray", "--ray-ca=ca.crt"}, "--ray-address https://HOST"},
	} {
		_, err := ParseFlags(append(row.args, "--nats-url=nats://nats.example:4222"), io.Discard)
		if (err == nil) != (row.says == "") || err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("%v: %v", row.args, err)
		}
	}
}

// A URL with a password comes from a file, and no refusal repeats the password.
func TestTheNATSURLOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	for _, row := range []struct {
		content string // "-": there is no file
		args    []string
		want    string // empty: refused
	}{
		{"nats://u:secret@n:4222\n", nil, "nats://u:secret@n:4222"},
		{" \n", nil, ""},
		{"-", nil, ""},
		{"nats://u:secret@n:4222", []string{"--nats-url=nats://other:4222"}, ""},
		{"nats://u:secret@127.0.0.1:4222", []string{"--raycluster=ns/ray"}, ""},
	} {
		_ = os.Remove(file)
		if row.content != "-" {
			if err := os.WriteFile(file, []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := ParseFlags(append(row.args, "--nats-url-file="+file), io.Discard)
		switch {
		case row.want != "" && (err != nil || c.NATSURL != row.want):
			t.Errorf("%q: %q, %v", row.content, c.NATSURL, err)
		case row.want == "" && (!errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%q: %v", row.content, err)
		}
	}
}

// TestReplicas: what cannot be is refused with what to do.
func TestReplicas(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--replicas", "3"}, "the embedded NATS is one server"},
		{[]string{"--replicas", "2", "--nats-url", "nats://h:1"}, "want 1, 3 or 5"},
		{[]string{"--replicas", "7", "--nats-url", "nats://h:1"}, "want 1, 3 or 5"},
		{[]string{"--replicas", "-1", "--nats-url", "nats://h:1"}, "want 1, 3 or 5"},
		{[]string{"--replicas", "3", "--nats-url", "nats://h:1,nats://i:1,nats://j:1"}, ""},
		{[]string{"--replicas", "1"}, ""},
		{nil, ""},
	} {
		_, err := ParseFlags(tc.args, io.Discard)
		if (err == nil) != (tc.want == "") || err != nil && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%v: %v, want %q", tc.args, err, tc.want)
		}
	}
}
