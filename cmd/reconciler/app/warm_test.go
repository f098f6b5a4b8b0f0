package app

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/state"
)

// The agent is told which worker processes to keep when it says that it keeps others, once
// at a time, and again if it does not take it.
func TestWarmOrders(t *testing.T) {
	l, term, lines := actingLoop(t)
	orders, refused := make(chan state.WarmOrder, 8), "it starts"
	subscription, err := l.app.nc.Subscribe(state.SubjectWarm, func(m *nats.Msg) {
		var order state.WarmOrder
		if err := json.Unmarshal(m.Data, &order); err != nil {
			t.Error(err)
		}
		answer, _ := json.Marshal(state.WarmAnswer{Version: order.Version, Refused: refused})
		if err := m.Respond(answer); err != nil {
			t.Error(err)
		}
		orders <- order
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = subscription.Unsubscribe() })
	wanted := map[string]int{"n1": 2, "n2": 2}
	agent := &state.Agent{Incarnation: 3}
	in := actors.Input{Now: time.Now(), Policy: actors.Policy{StoreID: "store"}, Observed: state.Observed{Agent: agent}}
	none := func(why string) {
		t.Helper()
		l.warm(t.Context(), term, in, wanted)
		select {
		case o := <-orders:
			t.Errorf("%s: ordered %+v", why, o)
		case <-time.After(50 * time.Millisecond):
		}
	}
	none("an agent of an earlier version")
	agent.Warm = &state.AgentWarm{Version: state.WarmVersion(wanted)}
	none("it keeps them")
	agent.Warm = &state.AgentWarm{}
	for _, refused = range []string{"it starts", ""} {
		in.Now = in.Now.Add(warmPause)
		l.warm(t.Context(), term, in, wanted)
		o := <-orders
		if o.StoreID != "store" || o.Epoch != term.Epoch || o.Incarnation != 3 || o.Version != state.WarmVersion(wanted) || !maps.Equal(o.Nodes, wanted) {
			t.Errorf("ordered %+v", o)
		}
		<-lines.wrote
		none("it was told just now")
	}
	in.Now, wanted = in.Now.Add(warmPause), nil
	none("it is not known what is wanted")
}

// What is kept ready, and why it is not, is told where somebody wants it.
func TestCheckWarm(t *testing.T) {
	wanted := map[string]int{"n1": 2, "n2": 2}
	for _, tc := range []struct {
		name  string
		warm  *state.AgentWarm
		want  map[string]int
		state string
		text  string
	}{
		{"nobody wants any", nil, nil, checkOK, ""},
		{"all are there", &state.AgentWarm{Wanted: 4, Ready: 4}, wanted, checkOK, "4 of 4 worker processes (nodes: 2; some 45 MB each) are kept"},
		{"an agent that keeps none", nil, wanted, checkDegraded, "is of a version that keeps none"},
		{"a Ray that has none", &state.AgentWarm{Wanted: 4, Trouble: "ImportError()"}, wanted, checkDegraded, "0 of 4 worker processes"},
	} {
		s := &snapshot{input: actors.Input{Observed: state.Observed{Agent: &state.Agent{Warm: tc.warm}}}, result: actors.Result{Warm: tc.want}}
		if got := checkWarm(nil, s); got.State != tc.state || !strings.Contains(got.Text, tc.text) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	if got := checkWarm(nil, nil); got.State != checkOK {
		t.Errorf("before the first round: %+v", got)
	}
}
