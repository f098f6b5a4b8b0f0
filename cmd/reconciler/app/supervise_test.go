package app

import (
	"testing"
)

func TestSplitCredentials(t *testing.T) {
	url, creds := splitCredentials("nats://u:p@host:4222")
	if url != "nats://host:4222" || creds["user"] != "u" || creds["password"] != "p" {
		t.Errorf("got %s %v", url, creds)
	}
	url, creds = splitCredentials("nats://u:p%40@a:1,nats://u:p%40@b:2")
	if url != "nats://a:1,nats://b:2" || creds["user"] != "u" || creds["password"] != "p@" {
		t.Errorf("got %s %v", url, creds)
	}
	url, creds = splitCredentials("nats://secret@a:1")
	if url != "nats://a:1" || creds["token"] != "secret" || creds["user"] != "" {
		t.Errorf("got %s %v", url, creds)
	}
}

func TestRemoteRayWantsAnAddressThatItCanReach(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"all local", nil, true},
		{"remote Ray, loopback NATS", []string{"--ray-address", "http://10.1.2.3:8265"}, false},
		{"remote Ray, advertised", []string{"--ray-address", "http://10.1.2.3:8265", "--advertise-nats-url", "nats://10.1.2.4:4322"}, true},
		{"RayCluster, loopback NATS", []string{"--raycluster", "a/b"}, false},
		{"remote Ray, external NATS", []string{"--ray-address", "http://10.1.2.3:8265", "--nats-url", "nats://n:4222"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := ParseFlags(tc.args, t.Output()); (err == nil) != tc.ok {
				t.Errorf("err = %v", err)
			}
		})
	}
}
