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

// What stands as it was planned is not looked at again until another status is planned of it.
func TestStatusesThatStandAreLookedAtOnce(t *testing.T) {
	l, term, j := journalled(t)
	old := statusOf("a")
	in := actors.Input{Desired: actors.Desired{Models: []*actors.DesiredModel{{Server: "default", Name: "a", Status: &old}, {Server: "default", Name: "b"}}}}
	round := func(statuses ...*state.Status) []string {
		carryOut(t, l, term, in, actors.Result{Statuses: statuses}, nil)
		l.awaitStatuses(0)
		return j.take()
	}
	a, b := new(statusOf("a")), new(statusOf("b"))
	if got := round(a, b); len(got) != 1 || len(l.alike) != 1 || l.alike[0] != a {
		t.Errorf("wrote %v, %d stand: b has no status yet", got, len(l.alike))
	}
	if a.Generation = "changed behind its back"; len(l.alike.others([]*state.Status{a, b})) != 1 {
		t.Error("a is looked at again")
	}
	other := new(statusOf("a"))
	other.Generation = "2"
	if got := l.alike.others([]*state.Status{other, b}); len(got) != 2 {
		t.Errorf("%d are looked at, of which both are others", len(got))
	}
	for _, tt := range []struct{ was, planned, others []*state.Status }{
		{nil, nil, nil},
		{[]*state.Status{a, b}, []*state.Status{b}, nil},
		{[]*state.Status{b}, []*state.Status{a, b}, []*state.Status{a}},
		{[]*state.Status{a, b}, []*state.Status{other, b}, []*state.Status{other}},
	} {
		if got := alike(tt.was).others(tt.planned); !slices.Equal(got, tt.others) {
			t.Errorf("others of %v beside %v: %v", tt.planned, tt.was, got)
		}
		if got := without(tt.planned, tt.others); len(got)+len(tt.others) != len(tt.planned) {
			t.Errorf("%v without %v: %v", tt.planned, tt.others, got)
		}
	}
}

// What is stored is found for each planned status, in their order and in any other.
func TestWhatIsStoredIsFoundForEachStatus(t *testing.T) {
	var d actors.Desired
	var planned []*state.Status
	for _, server := range []string{"a", "b", "c"} {
		d.Servers = append(d.Servers, actors.DesiredServer{Name: server, Status: &state.Status{Key: "server." + server}})
		planned = append(planned, &state.Status{Kind: state.KindServer, Server: server})
	}
	for _, server := range []string{"a", "b", "c"} {
		for _, model := range []string{"m", "n", "o.p", "q"} {
			d.Models = append(d.Models, &actors.DesiredModel{Server: server, Name: model, Status: &state.Status{Key: "model." + server + "." + model}})
			planned = append(planned, &state.Status{Kind: state.KindModel, Server: server, Name: model})
		}
	}
	planned = append(planned, &state.Status{Kind: state.KindModel, Server: "a", Name: "none"}, &state.Status{Kind: state.KindServer, Server: "none"})
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		before := storedOf{desired: d}
		for i := range planned {
			key, old := before.next(planned[i])
			switch none := key.Name == "none" || key.Server == "none"; {
			case none && old != nil, !none && (old == nil || old.Key != key.String()):
				t.Errorf("%s: %+v", key, old)
			}
		}
		random.Shuffle(len(planned), func(i, j int) { planned[i], planned[j] = planned[j], planned[i] })
	}
}
