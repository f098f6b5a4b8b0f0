package main

import (
	"slices"
	"testing"

	"dynctl/state"
)

// TestCharge: an incarnation is one agent, a lower one never follows, and what was executed
// once is not executed again.
func TestCharge(t *testing.T) {
	c := newCharge()
	for _, a := range []state.Agent{
		{Incarnation: 1, PID: 10, NodeIP: "n", Job: "a"},
		{Incarnation: 1, PID: 10, NodeIP: "n", Job: "a"},
		{Incarnation: 2, PID: 20, NodeIP: "n", Job: "b"},
		{Incarnation: 1, PID: 10, NodeIP: "n", Job: "a"}, // wrong
		{Incarnation: 2, PID: 30, NodeIP: "n", Job: "c"}, // wrong
		{Incarnation: 4, PID: 40, NodeIP: "n", Job: "d"},
	} {
		c.beat(a)
	}
	unit := func(group string, pid, number, child int) state.Unit {
		return state.Unit{PlacementGroup: state.PlacementGroup{ID: group}, Actors: []state.Actor{{Name: "x", PID: pid, Attempt: number, ChildPID: child}}}
	}
	for _, u := range []state.Unit{
		unit("g", 5, 1, 0), unit("g", 5, 1, 100), unit("g", 5, 1, 100), unit("g", 5, 1, 0),
		unit("g", 5, 2, 101), unit("g", 6, 1, 102), unit("h", 5, 1, 103),
		unit("g", 5, 2, 104), // wrong
	} {
		c.unit(u)
	}
	want := []string{
		"incarnation 1 (process 10 at n, job a) wrote over 2 (process 20 at n, job b)",
		"incarnation 2 is two agents: process 20 at n, job b, and process 30 at n, job c",
		"attempt 2 of x was executed twice, as process 101 and 104",
	}
	if got, agents, executions := c.verdict(); !slices.Equal(got, want) || agents != 3 || executions != 4 {
		t.Errorf("of %d agents and %d executions: %q", agents, executions, got)
	}
}
