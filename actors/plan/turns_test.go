package plan_test

import (
	"slices"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// A roll with every GPU in use goes in place, one replica after the other, while Ray's
// count of what is free is a second old: it never stalls, nobody is told to scale
// anything down, and it is complete only when every replica is ready.
func TestARollInPlaceTakesTurns(t *testing.T) {
	for name, spec := range map[string]string{
		"one may be missing":   "  replicas: 2\n",
		"two may be missing":   "  replicas: 4\n  update: {maxUnavailable: 2}\n",
		"several GPUs each":    "  replicas: 2\n  resources: {gpus: 2}\n",
		"prefill and decode":   "  mode: disagg\n  prefill: {replicas: 2}\n  decode: {replicas: 2}\n",
		"nothing beside it":    "  replicas: 1\n",
		"one GPU is left over": "  replicas: 3\n  resources: {gpus: 1}\n",
	} {
		t.Run(name, func(t *testing.T) {
			gpus := map[string]int{"one may be missing": 2, "nothing beside it": 1}[name]
			if gpus == 0 {
				gpus = 4
			}
			w := newCluster(node("1", gpus))
			w.lags = true
			key := w.put(model("a", spec))
			w.run(10)
			ready(t, w, key)
			w.put(model("a", spec+"  engineArgs: {block_size: 32}\n"))
			done := rollThrough(t, w, key)
			if !done {
				t.Fatalf("the roll is not complete after two minutes:\n%s", strings.Join(w.journal, "\n"))
			}
			upToDate(t, w, key)
		})
	}
}

// rollThrough makes rounds until a roll is told to be complete, and judges what is told
// on the way.
func rollThrough(t *testing.T, w *cluster, key state.Key) bool {
	t.Helper()
	for range 120 {
		r := w.round()
		for _, f := range r.Facts {
			switch f.Type {
			case actors.FactRolloutStalled:
				t.Errorf("%s: %s", f.Type, f.Message)
			case actors.FactRolloutCompleted:
				if c := w.condition(key, state.CondReady); c.Status != state.StatusTrue {
					t.Errorf("complete, and Ready is %+v", c)
				}
				return true
			}
		}
		for _, typ := range []string{state.CondScheduled, state.CondWorkersReady, state.CondReady} {
			c := w.condition(key, typ)
			if slices.Contains([]string{actors.ReasonInsufficientGPUs, actors.ReasonInsufficientCPUs}, c.Reason) {
				t.Errorf("%s: %s: %s", typ, c.Reason, c.Message)
			}
		}
		w.tick()
	}
	return false
}

// A roll is told to be complete also where a restart that was asked for meanwhile goes on.
func TestARestartInTheMiddleOfARoll(t *testing.T) {
	w := newCluster(node("1", 4))
	w.lags = true
	const rolled = "  replicas: 3\n  engineArgs: {block_size: 32}\n"
	key := w.put(model("a", "  replicas: 3\n"))
	w.run(10)
	ready(t, w, key)
	w.put(model("a", rolled))
	w.run(3)
	w.put(model("a", rolled+"  restart: again\n"))
	if !rollThrough(t, w, key) {
		t.Fatalf("the roll is not complete after two minutes:\n%s", strings.Join(w.journal, "\n"))
	}
	w.run(60)
	upToDate(t, w, key)
}

// A replica that somebody else's hold on the GPUs keeps out stalls the roll with the
// numbers, a moment after the last unit went.
func TestARollThatAStrangerKeepsOutStalls(t *testing.T) {
	w := newCluster(node("1", 2))
	w.lags = true
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(10)
	ready(t, w, key)
	w.put(model("a", "  replicas: 2\n  engineArgs: {block_size: 32}\n"))
	w.lags = false
	none := 0.0
	for range 60 { // what an old replica gives back a stranger takes
		w.round()
		w.tick()
		w.nodes[0].FreeGPUs = &none
	}
	stalled(t, w, key, "free")
}

// Replicas of a generation that does not start are not told that they take their turn: the
// old ones stay, so who comes after the model and waits for room can see for what.
func TestAGenerationThatDoesNotStartHasNoTurn(t *testing.T) {
	w := newCluster(node("1", 2))
	const spec = "  replicas: 3\n  update: {maxUnavailable: 2}\n"
	key := w.put(model("a", spec)) // never all are placed: there is none to fall back to
	w.run(10)
	w.edit(key, spec+otherGeneration, true)
	w.run(120)
	if c := w.condition(key, state.CondScheduled); c.Reason != actors.ReasonInsufficientGPUs {
		t.Errorf("Scheduled = %+v, want %s\n%s", c, actors.ReasonInsufficientGPUs, strings.Join(w.journal, "\n"))
	}
	available(t, w, key)
}
