package ops

import (
	"testing"
	"time"

	"dynctl/state"
)

func TestTheLogOfAnExit(t *testing.T) {
	at := noon.Add(-time.Minute)
	status := state.ExitStatus{Unit: "1a2b3c4d_m_DP0", At: at}
	in := func(change func(*state.Unit)) Input {
		u := unit("1a2b3c4d_m_DP0", "m", "", "n", "10.0.0.5", state.UnitExited)
		u.Actors[0].Attempt, u.Actors[0].Exit = 2, &state.Exit{Attempt: 2, At: at}
		change(u)
		return Input{StoreID: store, Units: []*state.Unit{u}}
	}
	const log = "/logs/default/1a2b3c4d_m_DP0/dynamo_default_1a2b3c4d_Dynamo_DP0"
	for _, tc := range []struct {
		name   string
		change func(*state.Unit)
		want   string
	}{
		{"waiting for the next attempt", func(*state.Unit) {}, log},
		{"executed again", func(u *state.Unit) { u.Actors[0].Attempt = 3 }, log + "?previous=1"},
		{"a log that was kept no longer", func(u *state.Unit) { u.Actors[0].Attempt = 4 }, ""},
		{"another exit", func(u *state.Unit) { u.Actors[0].Exit.At = noon }, ""},
		{"another unit", func(u *state.Unit) { u.Unit = "1a2b3c4d_m_DP1" }, ""},
		{"another store's", func(u *state.Unit) { u.StoreID = "theirs" }, ""},
		{"a name that an address has to quote", func(u *state.Unit) { u.Actors[0].Name = "a b/c?d" }, "/logs/default/1a2b3c4d_m_DP0/a%20b%2Fc%3Fd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if l := logOfExit(in(tc.change), "default", status); l != nil {
				got = l.URL
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLogsOfUnits(t *testing.T) {
	u := unit("1a2b3c4d_m_DP0", "m", "", "n", "10.0.0.5", state.UnitRunning)
	in := Input{StoreID: store, Units: []*state.Unit{u}}
	if got := unitLogs(in, *u); len(got) != 1 || got[0].Previous != "" || got[0].Name != "DP0" {
		t.Errorf("a first attempt: %+v", got)
	}
	u.Actors[0].Attempt = 0
	if got := unitLogs(in, *u); got != nil {
		t.Errorf("nothing was executed: %+v", got)
	}
	u.Actors[0].Attempt, u.StoreID = 2, "theirs"
	if got := unitLogs(in, *u); got != nil {
		t.Errorf("another store's: %+v", got)
	}
	u.StoreID = store
	m := state.Status{Server: "default", Name: "m"}
	if got := logsOf(in, m); len(got) != 1 || got[0].Name != "DP0" {
		t.Errorf("of the model: %+v", got)
	}
	in.Units = append(in.Units, unit("2a2b3c4d_m_DP0", "m", "", "n", "10.0.0.5", state.UnitRunning))
	if got := logsOf(in, m); len(got) != 2 || got[1].Name != "2a2b3c4d/DP0" {
		t.Errorf("while it rolls: %+v", got)
	}
}
