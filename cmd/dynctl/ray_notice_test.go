package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

// TestStatusTellsOfTheRayCluster: why no agent stays, and what is to be seen to in the Ray
// cluster, stand in status while the reconciler that leads says so, for people and for
// programs, whether or not anything is declared.
func TestStatusTellsOfTheRayCluster(t *testing.T) {
	const message, way = "RayCluster ml/prod is as it is", "mend it"
	row := map[string]kv.ElectorOptions{
		actors.RayServiceSwitching: {RayNotice: func() *state.RayNotice {
			return &state.RayNotice{Reason: actors.RayServiceSwitching, Message: message, Way: way}
		}},
	}
	for reason, said := range map[string]string{
		actors.RayClusterSuspended: actors.RayClusterSuspended, actors.RayTokenMissing: actors.RayTokenMissing,
		actors.RayTokenRefused: actors.RayTokenRefused, actors.WaitAgentFailing: "",
	} {
		row[reason] = kv.ElectorOptions{AgentFailure: func() *state.AgentFailure {
			return &state.AgentFailure{Reason: said, Message: message, Way: way}
		}}
	}
	for reason, options := range row {
		t.Run(reason, func(t *testing.T) {
			client := newStore(t)
			if _, out, _ := execute(t, "status"); strings.Contains(out, message) {
				t.Errorf("before anybody says so: %s", out)
			}
			options.ID = "r1"
			elector := kv.NewElector(client.JetStream(), options)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = elector.Run(ctx) }()
			defer func() { cancel(); <-ended }()
			<-elector.Leadership()
			statusSays(t, reason+": "+message+"; "+way)
		})
	}
}

// statusSays wants a text in status within some seconds, however its lines are broken.
func statusSays(t *testing.T, want string) {
	t.Helper()
	for _, args := range [][]string{{"status"}, {"status", "-o", "json"}} {
		var out string
		for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
			_, out, _ = execute(t, args...)
			if out = strings.Join(strings.Fields(out), " "); strings.Contains(out, want) {
				break
			}
		}
		if !strings.Contains(out, want) {
			t.Errorf("%v says %s, want %s", args, out, want)
		}
	}
}
