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

// TestStatusRayNotice: what is to be seen to in the Ray cluster stands in status while the
// reconciler that leads says so, for people and for programs.
func TestStatusRayNotice(t *testing.T) {
	client := newStore(t)
	notice := state.RayNotice{Reason: actors.RayServiceSwitching, Message: "RayService ml/chat makes a new cluster", Way: "raise the delay"}
	elector := kv.NewElector(client.JetStream(), kv.ElectorOptions{ID: "r1", RayNotice: func() *state.RayNotice { return &notice }})
	if _, out, _ := execute(t, "status"); strings.Contains(out, notice.Reason) {
		t.Errorf("before anybody says so: %s", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-elector.Leadership()
	for _, args := range [][]string{{"status"}, {"status", "-o", "json"}} {
		var out string
		for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
			if _, out, _ = execute(t, args...); strings.Contains(strings.Join(strings.Fields(out), " "), notice.String()) {
				break
			}
		}
		if !strings.Contains(strings.Join(strings.Fields(out), " "), notice.String()) {
			t.Errorf("%v says %s", args, out)
		}
	}
}
