package app

import (
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
)

// TestARefusedStatusIsNotTriedInEveryRound: a status that the store does not take is
// tried again after a second, then after twice as long each time, up to a minute; once
// it can be stored it is.
func TestARefusedStatusIsNotTriedInEveryRound(t *testing.T) {
	l, term, lines := actingLoop(t)
	key := state.ModelKey("default", "m")
	now := time.Now()
	large := actors.Result{Statuses: []*state.Status{{Key: key.String(), Kind: key.Kind, Server: key.Server, Name: key.Name}}}
	kept := map[state.Key]accept.Kept{key: {Spec: []byte(`"` + strings.Repeat("x", int(l.app.nc.MaxPayload())) + `"`)}}
	tries := func() (n int) {
		for _, line := range lines.take(t) {
			if line["msg"] == "a status was not written; it is tried again" {
				n++
			}
		}
		return n
	}
	total := 0
	for range 240 { // two minutes of rounds
		carryOut(t, l, term, actors.Input{Now: now}, large, kept)
		l.awaitStatuses(0)
		now = now.Add(500 * time.Millisecond)
		total += tries()
	}
	if total < 5 || total > 8 {
		t.Errorf("%d tries in two minutes, want one after 1 s, 2 s, 4 s, ...", total)
	}
	now = now.Add(time.Minute)
	carryOut(t, l, term, actors.Input{Now: now}, large, nil)
	l.awaitStatuses(0)
	if n := tries(); n != 0 || len(l.refused) != 0 {
		t.Errorf("%d refused, %v", n, l.refused)
	}
	if _, err := l.app.store.GetStatus(t.Context(), key); err != nil {
		t.Error(err)
	}
}
