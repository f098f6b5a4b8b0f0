package main

import (
	"strings"
	"testing"

	"dynctl/actors/simray"
	"dynctl/events"
)

// TestRefusals: what may be refused for its epoch, and what neither may be nor may not.
func TestRefusals(t *testing.T) {
	// Three commands: the one of epoch 1 that stands last was stored late.
	var commands []events.Event
	for i, epoch := range []uint64{1, 2, 1} {
		commands = append(commands, events.Event{Sequence: uint64(i + 1), Type: events.TypeStart, Data: events.Data{Epoch: epoch}})
	}
	read := func(sequences ...uint64) (out []simray.Heard) {
		newest := uint64(0)
		for _, n := range sequences {
			d := simray.Heard{Sequence: n, Verb: events.TypeStart, Epoch: commands[n-1].Data.Epoch}
			if d.Epoch < newest {
				d.Refused = simray.RefusedEpoch
			}
			newest = max(newest, d.Epoch)
			out = append(out, d)
		}
		return out
	}
	for what, c := range map[string]struct {
		read []simray.Heard
		want refusedFor
	}{
		"stored late":                      {read(1, 2, 3), refusedFor{Stored: 1}},
		"its acknowledgement was lost":     {read(1, 2, 1), refusedFor{Repeated: 1}},
		"it was lost on its way":           {read(2, 1), refusedFor{Overtook: 1}},
		"the newer one was lost":           {read(1, 3, 2), refusedFor{}},
		"repeated before the newer one":    {read(1, 1, 2), refusedFor{}},
		"lost, and again before the newer": {read(1, 3, 3, 2), refusedFor{}},
	} {
		got, wrong := refusals(commands, c.read)
		if got != c.want || len(wrong) > 0 || len(twoTruths(commands, c.read)) > 0 {
			t.Errorf("%s: %+v, %v, want %+v", what, got, wrong, c.want)
		}
	}
	carriedOut, refused, another := read(1, 2, 3), read(1), read(1)
	carriedOut[2].Refused, refused[0].Refused, another[0].Epoch = "", simray.RefusedEpoch, 7
	for what, list := range map[string][]simray.Heard{"after epoch 2": carriedOut, "after epoch 0": refused} {
		if _, wrong := refusals(commands, list); len(wrong) != 1 || !strings.Contains(wrong[0], what) {
			t.Errorf("want one %q, got %v", what, wrong)
		}
	}
	if wrong := twoTruths(commands, append(another, simray.Heard{Sequence: 9})); len(wrong) != 2 {
		t.Errorf("another epoch, and one that is not stored: %v", wrong)
	}
}
