package app

import (
	"testing"

	"dynctl/actors/ray"
)

func TestGaugeOfTheStandbyAgent(t *testing.T) {
	for phase, want := range map[ray.StandbyPhase]int{"": -1, ray.StandbyOff: -1, ray.StandbyAbsent: 0, ray.StandbyStarting: 0, ray.StandbyReady: 1} {
		families, err := gaugesWith(nil, phase).Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		for _, f := range families {
			if f.GetName() == "dynctl_standby_agent_ready" {
				got = int(f.GetMetric()[0].GetGauge().GetValue())
			}
		}
		if got != want {
			t.Errorf("standby %q: %d, want %d (-1: absent)", phase, got, want)
		}
	}
}
