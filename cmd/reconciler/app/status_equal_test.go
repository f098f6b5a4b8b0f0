package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/state"
)

// A status that would be written as it stands is not written.
func TestStatusesThatReadAlikeAreEqual(t *testing.T) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 5, time.UTC)
	status := func(change func(*state.Status)) state.Status {
		s := state.Status{
			Key: "model.default.m", Kind: state.KindModel, Name: "m", ObservedRevision: 3, Revision: 7,
			Conditions:   []state.Condition{{Type: state.CondReady, Status: state.StatusTrue, LastTransitionTime: at}},
			Roles:        map[string]state.RoleStatus{"aggregated": {Desired: 1, LastExit: &state.ExitStatus{Code: 1, At: at}}},
			AcceptedSpec: json.RawMessage(`{"a":1}`), Template: json.RawMessage(`{"b":2}`),
		}
		change(&s)
		return s
	}
	base := status(func(*state.Status) {})
	for name, tt := range map[string]struct {
		change func(*state.Status)
		equal  bool
	}{
		"nothing":           {func(*state.Status) {}, true},
		"another entry":     {func(s *state.Status) { s.Revision = 8 }, true},
		"an empty list":     {func(s *state.Status) { s.Placements = []state.PlacementStatus{} }, true},
		"spaces in a spec":  {func(s *state.Status) { s.AcceptedSpec = json.RawMessage(`{ "a": 1 }`) }, true},
		"another condition": {func(s *state.Status) { s.Conditions[0].Status = state.StatusFalse }, false},
		"another time":      {func(s *state.Status) { s.Conditions[0].LastTransitionTime = at.Add(1) }, false},
		"another exit":      {func(s *state.Status) { s.Roles["aggregated"].LastExit.Code = 2 }, false},
		"another spec":      {func(s *state.Status) { s.AcceptedSpec = json.RawMessage(`{"a":2}`) }, false},
		"another template":  {func(s *state.Status) { s.Template = json.RawMessage(`{"b":3}`) }, false},
		"another endpoint":  {func(s *state.Status) { s.Endpoint = "http://10.0.0.1/v1" }, false},
	} {
		if got := equalStatus(base, status(tt.change)); got != tt.equal {
			t.Errorf("%s: equal %v, want %v", name, got, tt.equal)
		}
	}
}

// BenchmarkEqualStatus measures what each object costs in a round that changes
// nothing.
func BenchmarkEqualStatus(b *testing.B) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	s := state.Status{Key: "model.default.m", Kind: state.KindModel, Name: "m", Roles: map[string]state.RoleStatus{"aggregated": {Desired: 1}},
		AcceptedSpec: json.RawMessage(`{"spec":"` + strings.Repeat("x", 1<<10) + `"}`), Template: json.RawMessage(`{"model":"` + strings.Repeat("x", 4<<10) + `"}`)}
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondRegistered, state.CondRouterReady, state.CondReady} {
		s.Conditions = append(s.Conditions, state.Condition{Type: typ, Status: state.StatusTrue, Reason: "OK", LastTransitionTime: at})
	}
	other := s
	other.Conditions = slices.Clone(s.Conditions)
	b.ReportAllocs()
	for b.Loop() {
		if !equalStatus(s, other) {
			b.Fatal("not equal")
		}
	}
}

// What was found equal is not compared again until one of both is another.
func TestEqualStatusesAreComparedOnce(t *testing.T) {
	old := &state.Status{Key: "model.default.a", Generation: "1"}
	now, a := *old, alike{}
	now.Conditions = []state.Condition{{Type: "Ready"}}
	if a.equal(old, now) || len(a) > 0 {
		t.Error("they differ by a condition")
	}
	if old.Conditions = []state.Condition{{Type: "Ready"}}; !a.equal(old, now) {
		t.Error("they do not differ")
	}
	old.Generation = "2" // in place, which nobody may do: so it shows that nothing is compared
	if !a.equal(old, now) {
		t.Error("they are compared again")
	}
	if a.equal(&state.Status{Key: "model.default.a", Generation: "2"}, now) {
		t.Error("another status is taken for the same")
	}
	if now.Generation = "2"; !a.equal(old, now) {
		t.Error("the new one is another by now, and equal")
	}
}
