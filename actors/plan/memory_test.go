package plan_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/state"
	"dynctl/state/same"
)

// lasting accepts and plans with a memory and without one, which must not differ. What did
// not change is handed in as the same place in memory, as the reconciler's views do.
type lasting struct {
	memo      accept.Memo
	accepted  int                        // how often
	statuses  map[state.Key]state.Status // as they were last accepted with
	memory    plan.Memory
	units     map[state.UnitKey]*state.Unit
	last      actors.Input
	frontends map[string]state.FrontendModel  // by server and served name
	spared    int                             // models, over all plans
	told      map[*state.Status]*state.Status // of models, in the plan before, with what was stored
}

// often is how many acceptances are compared from the start; later it is every eighth: what
// is wrongly remembered stays so until it changes.
const often = 64

func (l *lasting) accept(in accept.Input) (actors.Desired, map[state.Key]accept.Kept) {
	var want actors.Desired
	var wantKept map[state.Key]accept.Kept
	l.accepted++
	compare := l.accepted < often || l.accepted%8 == 0
	if compare {
		want, wantKept = accept.Revisions(in)
	}
	in.Memo, in.Restated = &l.memo, l.restated(in.Statuses)
	if l.accepted%16 == 0 { // an order of their own costs a comparison of all
		in.Entries = slices.Clone(in.Entries)
		slices.Reverse(in.Entries)
	}
	got, kept := accept.Revisions(in)
	if compare && (!reflect.DeepEqual(want, got) || !reflect.DeepEqual(wantKept, kept)) {
		panic(fmt.Sprintf("what is accepted differs by what is remembered (-without +with):\n%s%s", cmp.Diff(want, got), cmp.Diff(wantKept, kept)))
	}
	return got, kept
}

// restated are the objects of which the status is another than it was; now and then nobody
// can tell.
func (l *lasting) restated(now map[state.Key]state.Status) map[state.Key]bool {
	was := l.statuses
	l.statuses = maps.Clone(now)
	if was == nil || l.accepted%32 == 0 {
		return nil
	}
	out := map[state.Key]bool{}
	for k := range now {
		if x, y := was[k], now[k]; !same.Bits(&x, &y) {
			out[k] = true
		}
	}
	for k := range was {
		if _, there := now[k]; !there {
			out[k] = true
		}
	}
	return out
}

func (l *lasting) plan(in actors.Input) actors.Result {
	want := plan.Plan(in)
	got := l.memory.Plan(l.same(in))
	l.spared += l.memory.Spared()
	if !reflect.DeepEqual(want, got) {
		panic(fmt.Sprintf("a plan differs by what is remembered (-without +with):\n%s", cmp.Diff(want, got)))
	}
	l.tell(in, got)
	return got
}

// tell notes what was told of models: what is told again, at its place in memory, is so
// beside the same that is stored, for nobody compares the two then.
func (l *lasting) tell(in actors.Input, r actors.Result) {
	was := l.told
	l.told = map[*state.Status]*state.Status{}
	stored := map[state.Key]*state.Status{}
	for _, m := range in.Desired.Models {
		stored[m.Key()] = m.Status
	}
	for _, s := range r.Statuses {
		if s.Kind != state.KindModel {
			continue
		}
		now := stored[state.ModelKey(s.Server, s.Name)]
		if before, again := was[s]; again && before != now {
			panic(s.Key + " is told again, and something else of it is stored")
		}
		l.told[s] = now
	}
}

// same is an input in which what is as it was in the input before is the same to the bit.
func (l *lasting) same(in actors.Input) actors.Input {
	units := map[state.UnitKey]*state.Unit{}
	in.Observed.Units = slices.Clone(in.Observed.Units)
	for i, u := range in.Observed.Units {
		if was, ok := l.units[u.Key()]; ok && reflect.DeepEqual(was, u) {
			u = was
		}
		in.Observed.Units[i], units[u.Key()] = u, u
	}
	if reflect.DeepEqual(in.Observed.Units, l.last.Observed.Units) {
		in.Observed.Units = l.last.Observed.Units // at its place
	}
	if reflect.DeepEqual(in.Observed.Nodes, l.last.Observed.Nodes) {
		in.Observed.Nodes = l.last.Observed.Nodes
	}
	in.Registered = maps.Clone(in.Registered)
	for server, regs := range in.Registered {
		if was := l.last.Registered[server]; reflect.DeepEqual(was, regs) {
			in.Registered[server] = was
		}
	}
	frontends := map[string]state.FrontendModel{}
	in.Frontends = maps.Clone(in.Frontends)
	for server, view := range in.Frontends {
		view.Models = maps.Clone(view.Models)
		for name, m := range view.Models {
			key := server + " " + name
			if was, ok := l.frontends[key]; ok && reflect.DeepEqual(was, m) {
				m = was
			}
			view.Models[name], frontends[key] = m, m
		}
		if was := l.last.Frontends[server]; reflect.DeepEqual(was, view) {
			view = was
		}
		in.Frontends[server] = view
	}
	l.units, l.frontends, l.last = units, frontends, in
	return in
}

// Of a fleet that rests no model is judged again; of one that changes, those that do.
func TestOnlyWhatChangesIsJudged(t *testing.T) {
	const models = 12
	w := fleet(models, false)
	w.run(8)
	spared := func(what string, want int) {
		t.Helper()
		if w.round(); w.lasting.memory.Spared() != want {
			t.Errorf("%s: %d models are taken as they were, want %d", what, w.lasting.memory.Spared(), want)
		}
	}
	spared("at rest", models)
	u := w.of("m0003")[0]
	w.exit(u, &u.Actors[0], 1)
	w.settleState(u)
	spared("after an exit", models-1)
	if awake := w.lasting.memory.Awake(); len(awake) != 1 || awake[0].Name != "m0003" {
		t.Errorf("after an exit of m0003 are awake: %v", awake)
	}
	w.run(8)
	spared("healed", models)
	w.put(model("m0005", "  resources: {gpus: 1}\n  replicas: 2\n"))
	spared("after an edit", models-1)
	w.run(8)
	spared("scaled", models)
	w.gates[99] = simGate{server: "default", namespace: "curator-" + w.of("m0001")[0].Generation, until: w.now.Add(time.Hour)}
	spared("one behind a gate", models-1)
	clear(w.gates)
	w.run(2)
	spared("at rest again", models)
	w.agentAway = true
	spared("without an agent", 0)
	w.agentAway = false
	w.run(3)
	spared("with one again", models)
	w.etcdAway = true
	spared("without an etcd", 0)
	w.etcdAway = false
	w.run(3)
	spared("with one again", models)
}
