package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

func held(n state.Node, card int, processes ...state.CardProcess) state.Node {
	for i := len(n.Cards); i < n.GPUs; i++ {
		n.Cards = append(n.Cards, state.Card{Index: i, MemoryTotal: 80 << 30})
	}
	n.Cards[card].Processes = processes
	return n
}

func TestStrangers(t *testing.T) {
	unit := state.Unit{Actors: []state.Actor{{Node: "1", IP: "10.0.0.1", GPUs: []string{"0"}, ChildPID: 100}}}
	for name, tc := range map[string]struct {
		card    int
		process state.CardProcess
		want    bool
	}{
		"our process":                         {0, state.CardProcess{PID: 100, Group: 100, Memory: 70 << 30}, false},
		"a child of ours":                     {0, state.CardProcess{PID: 105, Group: 100, Memory: 70 << 30}, false},
		"a stranger beside ours":              {0, state.CardProcess{PID: 7, Group: 7, Memory: 40 << 30}, true},
		"a stranger on another card":          {1, state.CardProcess{PID: 7, Group: 7, Memory: 40 << 30}, true},
		"one of ours that has ended":          {1, state.CardProcess{PID: 7, Group: 7, Memory: 40 << 30, Ours: true}, false},
		"a context alone":                     {1, state.CardProcess{PID: 7, Group: 7, Memory: 300 << 20}, false},
		"hidden, on a card of ours":           {0, state.CardProcess{PID: 7, Memory: 40 << 30}, false},
		"hidden, on a card that nobody holds": {1, state.CardProcess{PID: 7, Memory: 40 << 30}, true},
	} {
		got := place.Strangers([]state.Node{held(node("1", 2), tc.card, tc.process)}, []*state.Unit{&unit})
		if (len(got) == 1) != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A worker goes to a node whose cards nobody else holds, where there is one with room; else
// it starts all the same.
func TestAWorkerIsPlacedApartFromStrangers(t *testing.T) {
	stranger := state.CardProcess{PID: 7, Group: 7, Command: "train", Memory: 40 << 30}
	for name, tc := range map[string]struct {
		nodes []state.Node
		want  string // the selector of the first bundle
	}{
		"room elsewhere":    {[]state.Node{held(node("1", 2), 0, stranger), node("2", 2)}, "!in(1)"},
		"no room elsewhere": {[]state.Node{held(node("1", 2), 0, stranger)}, ""},
		"no stranger":       {[]state.Node{node("1", 2), node("2", 2)}, ""},
	} {
		w := newCluster(tc.nodes...)
		w.put(model("a", "  resources: {gpus: 2}\n"))
		var got []map[string]string
		starts := 0
		for range 4 {
			for _, s := range w.round().Starts {
				if s.Template.Model == "a" {
					starts, got = starts+1, s.Template.PlacementGroup.Selector
				}
			}
			w.tick()
		}
		selector := ""
		if len(got) > 0 {
			selector = got[0]["ray.io/node-id"]
		}
		if starts != 1 || selector != tc.want {
			t.Errorf("%s: %d starts, selector %v; want %q", name, starts, got, tc.want)
		}
	}
}

// Who holds the card of a worker that does not come up is told, with how it ended.
func TestABusyCardIsTold(t *testing.T) {
	w := newCluster(node("1", 1))
	key := w.put(model("a", ""))
	w.run(1)
	w.broken[w.of("a")[0].Generation] = true
	w.run(6)
	w.of("a")[0].Actors[0].GPUs = []string{"0"}
	w.nodes[0] = held(w.nodes[0], 0, state.CardProcess{PID: 7, Group: 7, Command: "train", Memory: 40 << 30})
	w.round()
	c := w.condition(key, state.CondWorkersReady)
	if c.Reason != actors.WaitGPUBusy || !strings.Contains(c.Message, "card 0 of node 1: 40.0 GiB held by pid 7 (train)") {
		t.Errorf("WorkersReady = %+v", c)
	}
}
