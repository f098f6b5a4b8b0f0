package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// settle runs a world and collects the facts about routing, each with what it
// names: "type model cause models".
func (w *cluster) settle(seconds int) (told []string) {
	note := func(r actors.Result) {
		for _, f := range r.Facts {
			if f.Type == actors.FactRouterResolved || f.Type == actors.FactRouterApplied {
				told = append(told, fmt.Sprintf("%s [%s] %s (%s)", f.Type, f.Model, f.Cause, f.Models))
			}
		}
	}
	for range seconds {
		note(w.round())
		w.tick()
	}
	note(w.round())
	return told
}

func wantTold(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	for i, x := range got { // which revision shows a frontend depends on the simulation
		if at := strings.Index(x, "unit.default.infra@"); at >= 0 {
			got[i] = x[:at] + "unit.default.infra@N" + x[strings.LastIndex(x, " ("):]
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: told\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const disagg = "  mode: disagg\n"

// Each change of the answer names the models that caused it, whichever way it goes.
func TestRouterResolvedNamesItsCause(t *testing.T) {
	w := newCluster(node("1", 64))
	w.put(model("plain", ""))
	wantTold(t, "no disaggregated model", w.settle(6), "router-resolved []  ()")

	one := w.put(model("one", disagg))
	wantTold(t, "the first", w.settle(6),
		fmt.Sprintf("router-resolved [one] model.default.one@%d (one)", w.specs[one].Revision),
		"router-applied [one]  (one)")

	two := w.put(model("two", disagg))
	wantTold(t, "the answer stays", w.settle(6), "router-applied [two]  (two)")
	w.delete(one, true)
	wantTold(t, "the answer stays", w.settle(6))

	w.delete(two, true)
	wantTold(t, "the last is deleted", w.settle(6),
		fmt.Sprintf("router-resolved [two] model.default.two@%d (two)", w.specs[two].Revision))

	var names []string
	var last uint64
	for i := range 7 {
		names = append(names, fmt.Sprintf("m%d", i))
		last = w.specs[w.put(model(names[i], disagg))].Revision
	}
	told := w.settle(8)
	wantTold(t, "many at once, all of them named", told[:1],
		fmt.Sprintf("router-resolved [] model.default.m6@%d (%s)", last, strings.Join(names, ",")))
}

func TestRouterResolvedFollowsEveryWayOfLeaving(t *testing.T) {
	for name, leave := range map[string]func(w *cluster, key state.Key){
		"deleted with another tool": func(w *cluster, key state.Key) { w.delete(key, false) },
		"edited to aggregated":      func(w *cluster, key state.Key) { w.put(model("one", "")) },
		"deleted with another tool while suspended": func(w *cluster, key state.Key) {
			w.put(model("one", disagg+"  suspend: true\n"))
			w.run(6)
			w.delete(key, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			w.put(model("plain", ""))
			w.put(model("other", ""))
			key := w.put(model("one", disagg))
			w.run(8)
			leave(w, key)
			wantTold(t, name, w.settle(20), fmt.Sprintf("router-resolved [one] model.default.one@%d (one)", w.specs[key].Revision))
		})
	}
}

func TestRouterAppliedToTheFrontend(t *testing.T) {
	server := func(router string) string {
		return "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {router: " + router + "}\n"
	}
	w := newCluster(node("1", 8))
	w.put(server("{apply: frontend}"))
	w.put(model("plain", ""))
	wantTold(t, "no flags", w.settle(6), "router-resolved []  ()")
	one := w.put(model("one", disagg))
	w.round()
	wantTold(t, "not before the frontend runs with them", w.settle(0))
	wantTold(t, "the frontend runs with them", w.settle(6), "router-applied [] unit.default.infra@N ()")
	w.delete(one, true)
	wantTold(t, "and without", w.settle(6),
		fmt.Sprintf("router-resolved [one] model.default.one@%d (one)", w.specs[one].Revision),
		"router-applied [] unit.default.infra@N ()")
	w.put(server("{apply: frontend, mode: random}"))
	wantTold(t, "the server's own mode", w.settle(6), "router-resolved []  ()", "router-applied [] unit.default.infra@N ()")
}

// A worker that exits and comes back applies nothing again.
func TestRouterAppliedIsToldOnce(t *testing.T) {
	w := newCluster(node("1", 8))
	w.put(model("one", disagg))
	w.run(8)
	u := w.of("one")[0]
	w.exit(u, &u.Actors[0], 1)
	wantTold(t, "healed", w.settle(8))
	w.put(model("one", disagg+"  router: {mode: random}\n"))
	wantTold(t, "another mode of its own", w.settle(30), "router-applied [one]  (one)")
}
