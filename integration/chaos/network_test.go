package main

import (
	"slices"
	"testing"
	"time"
)

// TestEndedBy: what was at rest has to be the same execution after a network failed.
func TestEndedBy(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	was := func(model string) execution { return execution{model, "group", at} }
	before := map[string]execution{"a0": was("a"), "a1": was("a"), "b0": was("b"), "c0": was("c"), "d0": was("d")}
	now := map[string]execution{
		"a0": was("a"), // the same; a1 is gone
		"b0": {"b", "group", at.Add(time.Second)},
		"c0": {"c", "another", at},
		"e0": {"e", "group", at}, // new
	}
	wrong, looked := endedBy(before, now, func(model string) bool { return model == "d" })
	want := []string{
		"a1 is gone",
		"b0, begun at 12:00:00.000, was executed again at 12:00:01.000",
		"c0, begun at 12:00:00.000, was executed again at 12:00:00.000",
	}
	if looked != 4 || !slices.Equal(wrong, want) {
		t.Errorf("of %d: %q", looked, wrong)
	}
}
