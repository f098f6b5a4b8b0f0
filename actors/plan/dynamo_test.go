package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// with puts a release of Dynamo on nodes.
func with(release string, n state.Node) state.Node {
	n.Versions = map[string]string{"dynamo": release}
	return n
}

// started are the command lines of a model's starts in one round, joined.
func started(r actors.Result, model string) (out []string) {
	for _, s := range r.Starts {
		if s.Template.Model == model || model == "" && s.Template.Model == "" {
			for _, a := range s.Template.Actors {
				var words []string
				for _, w := range a.Argv {
					words = append(words, w.S)
				}
				out = append(out, strings.Join(words, " "))
			}
		}
	}
	return out
}

// startsOf makes rounds until the model has been started.
func startsOf(w *cluster, model string) (infra, workers []string) {
	for range 8 {
		r := w.round()
		infra = append(infra, started(r, "")...)
		workers = append(workers, started(r, model)...)
		w.tick()
	}
	return infra, workers
}

// Before Dynamo 1.5 workers refuse --router-mode: the frontend carries the routing, and
// the status says so.
func TestRoutingWithAnOldDynamoIsTheFrontends(t *testing.T) {
	for release, card := range map[string]bool{"1.4.2": false, "1.5.0": true, "1.6.0rc1": true, "2.0.0": true, "": true, "unknown": true} {
		w := newCluster(with(release, node("1", 4)))
		key := w.put(model("a", "  mode: disagg\n"))
		infra, workers := startsOf(w, "a")
		if len(workers) != 2 || len(infra) == 0 {
			t.Fatalf("Dynamo %s: %d workers and %d of infra were started", release, len(workers), len(infra))
		}
		for _, argv := range workers {
			if strings.Contains(argv, "--router-mode") != card {
				t.Errorf("Dynamo %s: worker %s", release, argv)
			}
		}
		frontend := infra[len(infra)-1]
		if strings.Contains(frontend, "--router-mode kv") == card {
			t.Errorf("Dynamo %s: frontend %s", release, frontend)
		}
		router := w.statuses[key].Router
		if said := strings.Contains(router.Because, "Dynamo "+release+" carry none"); said == card || router.Mode != "kv" {
			t.Errorf("Dynamo %s: router %+v", release, router)
		}
	}
}

// A routing of a model's own has no effect there, and is told so.
func TestARoutingOfItsOwnWithAnOldDynamoIsWarnedOf(t *testing.T) {
	w := newCluster(with("1.4.2", node("1", 4)))
	key := w.put(model("a", "  router: {mode: random}\n"))
	w.run(3)
	if c := w.condition(key, state.CondAccepted); c.Status != state.StatusTrue || !strings.Contains(c.Message, "spec.router: it has no effect") {
		t.Errorf("Accepted = %+v", c)
	}
}

// What a Dynamo cannot run is not started, what runs goes on, and a runtime_env that
// brings another one is given a try.
func TestATooOldDynamoStartsNothing(t *testing.T) {
	w := newCluster(with("1.6.0", node("1", 4)))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	w.nodes[0] = with("1.3.1", node("1", 4))
	late := w.put(model("b", ""))
	own := w.put(model("c", "  runtimeEnv: {pip: [ai-dynamo==1.6.0]}\n"))
	for range 8 {
		if r := w.round(); len(r.Stops) > 0 {
			t.Fatalf("stops %+v", r.Stops)
		}
		w.tick()
	}
	ready(t, w, key)
	ready(t, w, own)
	c := w.condition(late, state.CondScheduled)
	if c.Reason != actors.WaitDynamoTooOld || !strings.Contains(c.Message, "node 1 has Dynamo 1.3.1") || len(w.of("b")) != 0 {
		t.Errorf("Scheduled = %+v, units %d", c, len(w.of("b")))
	}
	w.nodes[0] = with("1.6.0", node("1", 4))
	w.run(8)
	ready(t, w, late)
}

func TestNodesWithDifferentOrNewerDynamosAreWarnedOf(t *testing.T) {
	for name, tc := range map[string]struct {
		nodes []state.Node
		want  string
	}{
		"one release":       {[]state.Node{with("1.6.0", node("1", 1)), with("1.6.1", node("2", 1))}, ""},
		"different minors":  {[]state.Node{with("1.6.0", node("1", 1)), with("1.5.1", node("2", 1))}, "1.5.1 on node 2, 1.6.0 on node 1"},
		"newer than tested": {[]state.Node{with("1.7.0", node("1", 1))}, "newer than 1.6"},
		"nothing is told":   {[]state.Node{node("1", 1)}, ""},
	} {
		w := newCluster(tc.nodes...)
		w.put(model("a", ""))
		w.run(2)
		c := w.condition(state.ServerKey("default"), state.CondAccepted)
		if c.Status != state.StatusTrue || tc.want == "" && c.Message != "" || !strings.Contains(c.Message, tc.want) {
			t.Errorf("%s: Accepted = %+v", name, c)
		}
	}
}
