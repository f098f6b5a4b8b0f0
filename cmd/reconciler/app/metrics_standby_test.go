package app

import (
	"testing"

	"dynctl/state"
)

func TestGaugeOfTheStandbyAgent(t *testing.T) {
	tests := []struct {
		standby *state.StandbyAgent
		want    int // -1: absent
	}{
		{nil, -1},
		{&state.StandbyAgent{State: state.StandbyAbsent}, 0},
		{&state.StandbyAgent{State: state.StandbyStarting}, 0},
		{&state.StandbyAgent{State: state.StandbyReady}, 1},
	}
	for _, test := range tests {
		families, err := gaugesWith(nil, test.standby).Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		for _, f := range families {
			if f.GetName() == "dynctl_standby_agent_ready" {
				got = int(f.GetMetric()[0].GetGauge().GetValue())
			}
		}
		if got != test.want {
			t.Errorf("standby %+v: %d, want %d (-1: absent)", test.standby, got, test.want)
		}
	}
}
