//go:build integration

package integration

import (
	"slices"
	"testing"
	"time"
)

// TestServesAndGoesAway declares an aggregated and a disaggregated model, asks
// both, and deletes them: what was declared serves, and leaves nothing.
func TestServesAndGoesAway(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("plain", 2), s.MockerDisagg("split", 1, 1))
	s.Wait("plain", "Ready", 2*time.Minute)
	s.Wait("split", "Ready", 2*time.Minute)

	if got := len(s.Units()); got != 1+2+2 {
		t.Errorf("%d units, want infra, 2 workers, prefill and decode", got)
	}
	for _, model := range []string{"plain", "split"} {
		if a := s.Chat(model, "hello", 8); a.Tokens != 8 || a.Text == "" {
			t.Errorf("%s answered %q (%d tokens), want 8 tokens of text", model, a.Text, a.Tokens)
		}
	}
	split := s.Chat("split", "who are you?", 4)
	decode, prefill := s.UnitsOf("split", "decode")[0].Actors[0], s.UnitsOf("split", "prefill")[0].Actors[0]
	if split.DecodeWorker != decode.Lease || split.PrefillWorker != prefill.Lease {
		t.Errorf("served by prefill %d and decode %d, want the leases %d and %d", split.PrefillWorker, split.DecodeWorker, prefill.Lease, decode.Lease)
	}

	pids := []int{decode.PID, decode.ChildPID, prefill.PID, prefill.ChildPID}
	s.Delete("model/split")
	s.Wait("split", "deleted", time.Minute)
	RequireGone(t, pids...)
	if slices.ContainsFunc(s.Units(), func(u Unit) bool { return u.Model == "split" }) {
		t.Error("a deleted model has units")
	}
	s.Chat("plain", "still there?", 4)
	if len(s.Events("unit-ready")) < 4 {
		t.Error("fewer than 4 unit-ready events")
	}
}
