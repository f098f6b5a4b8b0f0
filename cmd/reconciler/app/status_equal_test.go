package app

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
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
	planned, a := *old, alike{}
	planned.Conditions = []state.Condition{{Type: "Ready"}}
	now := planned
	now.Template = json.RawMessage("{}")
	if a.equal(old, &planned, now) || len(a) > 0 || a.again(old, &planned) {
		t.Error("they differ by a condition and a template")
	}
	old.Conditions, old.Template = planned.Conditions, now.Template
	if !a.equal(old, &planned, now) || !a.again(old, &planned) {
		t.Error("they do not differ")
	}
	if a.again(&state.Status{Key: "model.default.a", Generation: "2"}, &planned) {
		t.Error("another status is taken for the same")
	}
	if planned.Generation = "2"; a.again(old, &planned) {
		t.Error("another plan is taken for the same")
	}
}

// What is stored is found for each planned status, in their order and in any other.
func TestWhatIsStoredIsFoundForEachStatus(t *testing.T) {
	var d actors.Desired
	var planned []state.Status
	for _, server := range []string{"a", "b", "c"} {
		d.Servers = append(d.Servers, actors.DesiredServer{Name: server, Status: &state.Status{Key: "server." + server}})
		planned = append(planned, state.Status{Kind: state.KindServer, Server: server})
	}
	for _, server := range []string{"a", "b", "c"} {
		for _, model := range []string{"m", "n", "o.p", "q"} {
			d.Models = append(d.Models, &actors.DesiredModel{Server: server, Name: model, Status: &state.Status{Key: "model." + server + "." + model}})
			planned = append(planned, state.Status{Kind: state.KindModel, Server: server, Name: model})
		}
	}
	planned = append(planned, state.Status{Kind: state.KindModel, Server: "a", Name: "none"}, state.Status{Kind: state.KindServer, Server: "none"})
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		before := storedOf{desired: d}
		for i := range planned {
			key, old := before.next(&planned[i])
			switch none := key.Name == "none" || key.Server == "none"; {
			case none && old != nil, !none && (old == nil || old.Key != key.String()):
				t.Errorf("%s: %+v", key, old)
			}
		}
		random.Shuffle(len(planned), func(i, j int) { planned[i], planned[j] = planned[j], planned[i] })
	}
}
