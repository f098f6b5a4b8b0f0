package plan_test

import (
	"maps"
	"testing"

	"dynctl/state"
)

// warmServer is a server that asks for worker processes.
func warmServer(name, extra string) string {
	return "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: " + name + "}\nspec:\n" + extra
}

// Processes are kept where a worker may come to run that takes one, as many as the server
// says that wants most.
func TestWhereProcessesAreKept(t *testing.T) {
	const two, four = "  warmPool: {processesPerNode: 2}\n", "  warmPool: {processesPerNode: 4}\n"
	head, zone, bare := node("1", 4), node("2", 4), node("3", 0)
	head.Head, head.Labels = true, map[string]string{"ray.io/node-type": "head"}
	zone.Labels = map[string]string{"ray.io/node-type": "worker", "zone": "b"}
	dead := node("4", 4)
	dead.Alive = false
	for _, tc := range []struct {
		name  string
		specs []string
		want  map[string]int
	}{
		{name: "nobody asks", specs: []string{model("a", "")}},
		{name: "none of a server that says none", specs: []string{warmServer("default", "  warmPool: {processesPerNode: 0}\n"), model("a", "")}},
		{name: "where GPUs are", specs: []string{warmServer("default", two), model("a", "")}, want: map[string]int{"1": 2, "2": 2}},
		{name: "before the first model", specs: []string{warmServer("default", two)}, want: map[string]int{"1": 2, "2": 2}},
		{name: "before the first model, without the head", specs: []string{warmServer("default", two+"  placement: {excludeHeadNode: true}\n")}, want: map[string]int{"2": 2}},
		{name: "where the models may run", specs: []string{warmServer("default", two), model("a", "  placement: {nodeSelector: {zone: b}}\n")}, want: map[string]int{"2": 2}},
		{name: "of any model", specs: []string{warmServer("default", two), model("a", "  placement: {nodeSelector: {zone: b}}\n"), model("b", "")},
			want: map[string]int{"1": 2, "2": 2}},
		{name: "without GPUs everywhere", specs: []string{warmServer("default", two), model("a", "  resources: {gpus: 0}\n")}, want: map[string]int{"1": 2, "2": 2, "3": 2}},
		{name: "none for a runtime environment", specs: []string{warmServer("default", two), model("a", "  runtimeEnv: {env_vars: {A: b}}\n")}},
		{name: "none before the first model with one", specs: []string{warmServer("default", two+"  runtimeEnv: {env_vars: {A: b}}\n")}},
		{name: "the largest counts", specs: []string{warmServer("default", two), warmServer("other", four+"  dynamoNamespace: other\n")}, want: map[string]int{"1": 4, "2": 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newCluster(head, zone, bare, dead)
			for _, spec := range tc.specs {
				w.put(spec)
			}
			w.run(8)
			r := w.round()
			if got := r.Warm; got == nil || !maps.Equal(got, tc.want) {
				t.Errorf("kept %v, want %v", got, tc.want)
			}
		})
	}
}

// What is to be kept is not said while it is not known what there is, nor of a server that
// is gone.
func TestProcessesOfAServerThatGoes(t *testing.T) {
	w := newCluster(node("1", 4))
	key := w.put(warmServer("default", "  warmPool: {processesPerNode: 1}\n"))
	w.run(4)
	w.agentAway = true
	if r := w.round(); r.Warm != nil {
		t.Errorf("kept %v, and no agent tells what there is", r.Warm)
	}
	w.agentAway = false
	w.delete(key, true)
	w.run(30)
	if r := w.round(); r.Warm == nil || len(r.Warm) > 0 {
		t.Errorf("kept %v of a server that was deleted", r.Warm)
	}
}

// One set of processes is told from another by its version, and none has the empty one.
func TestWarmVersion(t *testing.T) {
	a, b := state.WarmVersion(map[string]int{"1": 2, "2": 2}), state.WarmVersion(map[string]int{"1": 2, "2": 3})
	if a == b || len(a) != 16 || a != state.WarmVersion(map[string]int{"2": 2, "1": 2}) || state.WarmVersion(nil) != "" {
		t.Errorf("versions %q and %q", a, b)
	}
}
