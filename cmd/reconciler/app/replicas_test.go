package app

import (
	"strings"
	"testing"

	"dynctl/state/kv"
)

// TestFewReplicasAreNamed: fewer than asked for, servers that are away, and neither.
func TestFewReplicasAreNamed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		asked int
		sizes []kv.BucketSize
		state string
		want  string
	}{
		{"nothing asked for", 0, []kv.BucketSize{{Name: "a", Replicas: 1}}, checkOK, ""},
		{"as many", 3, []kv.BucketSize{{Name: "a", Replicas: 3}, {Name: "b", Replicas: 5}}, checkOK, ""},
		{"fewer", 3, []kv.BucketSize{{Name: "a", Replicas: 1}, {Name: "b", Replicas: 3}}, checkDegraded, "--replicas asks for 3, and fewer servers hold a (1):"},
		{"away", 3, []kv.BucketSize{{Name: "a", Replicas: 3, Away: 1}, {Name: "b", Replicas: 3}}, checkDegraded, "a (2 of 3): start"},
		{"away, and nothing asked for", 0, []kv.BucketSize{{Name: "a", Replicas: 3, Away: 2}}, checkDegraded, "a (1 of 3)"},
	} {
		a := &App{cfg: Config{Limits: kv.Limits{Replicas: tc.asked}}}
		a.sizes.Store(&tc.sizes)
		if got := checkReplicas(a, nil); got.State != tc.state || !strings.Contains(got.Text, tc.want) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}
