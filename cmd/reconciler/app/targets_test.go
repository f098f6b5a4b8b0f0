package app

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

func TestTargets(t *testing.T) {
	foreign, unexecuted := aWorker(1, nil), aWorker(1, nil)
	foreign.StoreID = "theirs"
	unexecuted.Actors[0].ChildPID = 0
	prefill := aWorker(1, nil)
	prefill.Unit, prefill.Role = "1a2b3c4d_m_prefill_0", state.RolePrefill
	got := targets(roundOf(0, anInfra(), aWorker(1, nil), prefill, foreign, unexecuted))
	want := []target{
		{[]string{"10.0.0.4:8000"}, map[string]string{"server": "default", "role": "frontend", "unit": "infra", "generation": "00c0ffee"}},
		{[]string{"10.0.0.5:20300"}, map[string]string{"server": "default", "model": "m", "role": "aggregated", "unit": "1a2b3c4d_m_DP0", "generation": "1a2b3c4d"}},
		{[]string{"10.0.0.5:20300"}, map[string]string{"server": "default", "model": "m", "role": "prefill", "unit": "1a2b3c4d_m_prefill_0", "generation": "1a2b3c4d"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := targets(roundOf(0)); got == nil {
		t.Error("none is null, which Prometheus refuses")
	}
}

// TestTargetsOfAFrontendWithTLS: Prometheus asks it by https, and its workers as before.
func TestTargetsOfAFrontendWithTLS(t *testing.T) {
	in := roundOf(0, anInfra(), aWorker(1, nil))
	frontend := actors.ActorTemplate{Label: actors.LabelFrontend, Health: actors.Health{TLS: true}}
	in.Desired.Servers = []actors.DesiredServer{{Name: "default", Template: actors.ServerTemplate{Actors: []actors.ActorTemplate{frontend}}}}
	got := targets(in)
	if len(got) != 2 || got[0].Labels[schemeLabel] != "https" {
		t.Fatalf("got %v, want a frontend by https and a worker", got)
	}
	if scheme, ok := got[1].Labels[schemeLabel]; ok {
		t.Errorf("the worker's system port is asked by %q", scheme)
	}
}

func TestTargetsAreKeptWhileNothingIsKnown(t *testing.T) {
	a := &App{}
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		a.serveTargets(w, nil)
		return w
	}
	if w := ask(); w.Code != 503 {
		t.Errorf("before the first round: %d", w.Code)
	}
	in := roundOf(0, aWorker(1, nil))
	in.Observed.Synced = false
	a.snapshot.Store(&snapshot{input: in})
	if w := ask(); w.Code != 503 {
		t.Errorf("without the agent: %d", w.Code)
	}
	in.Observed.Synced = true
	a.snapshot.Store(&snapshot{input: in})
	w := ask()
	var got []target
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 1 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %v %s", got, err, w.Header())
	}
}
