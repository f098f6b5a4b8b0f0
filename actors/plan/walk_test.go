package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// walk is a random walk over a simulated cluster: people write specs, and everything
// that can go away does.
type walk struct {
	*cluster
	names []string
	// written is what is written of each model.
	written map[string]*walkSpec
	// serverEdits numbers the edits of the server's spec.
	serverEdits int
	server      string // what is written of it
	blindUntil  int    // rounds until the agent has told all again
	// wasReady is the generation of a model that was Ready since it is wanted.
	wasReady map[string]string
	rounds   int
}

// walkSpec is what is written of a model.
type walkSpec struct {
	variant, replicas, prefill, decode, gpus int
	disagg, vllm, nowhere, suspend           bool
	restart                                  string
	surge, unavailable                       int // -1: not set
}

func startWalk() *walk {
	w := &walk{cluster: newCluster(node("1", 4), node("2", 4), node("3", 2)), names: []string{"a", "b", "c"},
		written: map[string]*walkSpec{}, wasReady: map[string]string{}}
	w.caching = true
	w.server = "  router: {mode: auto}\n"
	for i, id := range []string{"other", ""} { // never touched: another store's, and nobody's
		k := state.UnitKey{Server: "foreign", Unit: fmt.Sprintf("0000000%d_x_DP0", i)}
		w.units[k] = &state.Unit{Server: k.Server, Unit: k.Unit, Model: "x", Generation: fmt.Sprintf("0000000%d", i), StoreID: id, State: state.UnitRunning,
			PlacementGroup: state.PlacementGroup{State: "CREATED"}}
	}
	return w
}

func (s *walkSpec) String() string {
	var b strings.Builder
	engine := "mocker"
	if s.vllm {
		engine = "vllm"
	}
	fmt.Fprintf(&b, "  engine: %s\n  engineArgs: {block_size: %d}\n  suspend: %v\n", engine, 16+s.variant, s.suspend)
	if s.disagg {
		fmt.Fprintf(&b, "  mode: disagg\n  prefill: {replicas: %d}\n  decode: {replicas: %d}\n", s.prefill, s.decode)
	} else {
		fmt.Fprintf(&b, "  replicas: %d\n", s.replicas)
	}
	if s.gpus > 1 {
		fmt.Fprintf(&b, "  resources: {gpus: %d}\n", s.gpus)
	}
	if s.restart != "" {
		fmt.Fprintf(&b, "  restart: %q\n", s.restart)
	}
	if s.nowhere {
		b.WriteString("  placement: {nodeSelector: {zone: nowhere}}\n")
	}
	var update []string
	if s.surge >= 0 {
		update = append(update, fmt.Sprintf("maxSurge: %d", s.surge))
	}
	if s.unavailable >= 0 {
		update = append(update, fmt.Sprintf("maxUnavailable: %d", s.unavailable))
	}
	if len(update) > 0 {
		b.WriteString("  update: {" + strings.Join(update, ", ") + "}\n")
	}
	return b.String()
}

// write writes the spec of a model.
func (w *walk) write(name string) {
	text := strings.Replace(model(name, w.written[name].String()), "  engine: mocker\n", "", 1)
	w.put(text)
	w.note("set %s %s", name, strings.Join(strings.Fields(w.written[name].String()), " "))
}

// wanted is the generation that the accepted spec of a model asks for.
func (w *walk) wanted(name string) string {
	in, _ := w.input()
	for _, m := range in.Desired.Models {
		if m.Name == name && m.Accepted != 0 {
			return m.Template.Generation
		}
	}
	return ""
}

// action is one thing that happens. pick(n) is 0..n-1.
type action struct {
	name   string
	weight int
	do     func(w *walk, name string, pick picker)
}

type picker func(label string, n int) int

// edits are the actions of people, in a walk where nothing breaks.
var edits = []action{
	{"edit", 6, (*walk).editModel},
	{"scale", 3, (*walk).scale},
	{"update", 1, func(w *walk, name string, pick picker) {
		w.changeSpec(name, pick, func(s *walkSpec) { s.surge, s.unavailable = pick("surge", 3)-1, pick("unavailable", 4)-1 })
	}},
	{"restart", 1, func(w *walk, name string, pick picker) {
		w.changeSpec(name, pick, func(s *walkSpec) { s.restart = fmt.Sprintf("r%d", pick("text", 3)) })
	}},
	{"server", 1, (*walk).editServer},
}

// faults are all else.
var faults = []action{
	{"suspend", 1, func(w *walk, name string, pick picker) {
		w.changeSpec(name, pick, func(s *walkSpec) { s.suspend = !s.suspend })
	}},
	{"unplaceable", 1, func(w *walk, name string, pick picker) {
		w.changeSpec(name, pick, func(s *walkSpec) {
			s.nowhere = pick("nowhere", 2) == 0
			s.gpus = []int{1, 64}[pick("gpus", 2)]
		})
	}},
	{"break", 2, func(w *walk, name string, pick picker) {
		w.editModel(name, pick)
		if g := w.wanted(name); pick("half", 2) == 0 {
			w.broken[g] = true
		} else {
			w.brokenRole[g] = []string{state.RolePrefill, state.RoleDecode}[pick("role", 2)]
		}
	}},
	{"repair", 1, func(w *walk, _ string, _ picker) { clear(w.broken); clear(w.brokenRole) }},
	{"reject", 1, (*walk).reject},
	{"delete", 1, func(w *walk, name string, pick picker) {
		if key := state.ModelKey("default", name); w.has(key) {
			w.delete(key, pick("now", 2) == 0)
		}
	}},
	{"delete all", 1, func(w *walk, _ string, _ picker) {
		for _, n := range w.names {
			if key := state.ModelKey("default", n); w.has(key) {
				w.delete(key, false)
			}
		}
	}},
	{"confirm", 1, func(w *walk, _ string, _ picker) { w.confirmed["default"], w.changed = w.revision, true }},
	{"kill", 4, func(w *walk, name string, pick picker) {
		w.hit(name, pick, func(u *state.Unit, a *state.Actor) {
			if a.ChildPID != 0 {
				w.exit(u, a, -9)
			}
		})
	}},
	{"kill the actor", 2, func(w *walk, name string, pick picker) {
		w.hit(name, pick, func(u *state.Unit, a *state.Actor) { w.killActor(u, a) })
	}},
	{"lose the group", 1, func(w *walk, name string, pick picker) {
		w.hit(name, pick, func(u *state.Unit, _ *state.Actor) { w.losePlacement(u) })
	}},
	{"reschedule", 1, func(w *walk, name string, pick picker) {
		w.hit(name, pick, func(u *state.Unit, a *state.Actor) {
			w.killActor(u, a)
			u.PlacementGroup.State, a.Node = "RESCHEDULING", ""
		})
	}},
	{"kill infra", 1, (*walk).killInfra},
	{"agent away", 1, func(w *walk, _ string, _ picker) { w.agentAway = !w.agentAway }},
	{"agent restarts", 2, func(w *walk, _ string, pick picker) { w.restartAgent(); w.blindFor(pick("rounds", 4)) }},
	{"reconciler restarts", 1, func(w *walk, _ string, _ picker) { w.suspects, w.whole = nil, nil }},
	{"bucket recreated", 1, (*walk).recreateBucket},
	{"etcd away", 1, func(w *walk, _ string, _ picker) { w.etcdAway = !w.etcdAway }},
	{"frontend away", 1, func(w *walk, _ string, _ picker) { w.frontendAway = !w.frontendAway }},
	{"etcd emptied", 1, (*walk).emptyEtcd},
	{"lose a node", 1, func(w *walk, _ string, pick picker) { w.loseNode(pick("node", len(w.nodes))) }},
	{"nodes come back", 3, func(w *walk, _ string, _ picker) { w.nodesBack() }},
}

func chance(actions ...[]action) []action {
	var out []action
	for _, a := range slices.Concat(actions...) {
		out = append(out, slices.Repeat([]action{a}, a.weight)...)
	}
	return out
}

var anything = chance(edits, faults)

// step does one random thing.
func (w *walk) step(pick picker, from []action) {
	a := from[pick("action", len(from))]
	name := w.names[pick("model", len(w.names))]
	w.note("- %s %s", a.name, name)
	a.do(w, name, pick)
}

func (w *walk) has(key state.Key) bool {
	e, ok := w.specs[key]
	return ok && !e.Deleted
}

func (w *walk) editModel(name string, pick picker) {
	s := &walkSpec{variant: pick("variant", 3), disagg: pick("disagg", 3) == 0, replicas: 1 + pick("replicas", 3),
		prefill: 1 + pick("p", 3), decode: 1 + pick("d", 3), gpus: 1, surge: -1, unavailable: -1}
	if old := w.written[name]; old != nil {
		s.surge, s.unavailable = old.surge, old.unavailable
	}
	if !s.disagg {
		switch pick("size", 6) {
		case 0:
			s.gpus = 2
		case 1:
			s.gpus, s.vllm = 6, true // over two nodes or three
		}
	}
	w.written[name] = s
	w.write(name)
}

// changeSpec changes one thing of a spec that there is.
func (w *walk) changeSpec(name string, pick picker, change func(*walkSpec)) {
	if w.written[name] == nil || !w.has(state.ModelKey("default", name)) {
		w.editModel(name, pick)
		return
	}
	change(w.written[name])
	w.write(name)
}

func (w *walk) scale(name string, pick picker) {
	w.changeSpec(name, pick, func(s *walkSpec) {
		s.replicas, s.prefill, s.decode = pick("replicas", 4), 1+pick("p", 3), 1+pick("d", 3)
	})
}

// editServer writes the server: another backoff rolls nothing, another variable rolls
// every model, another router mode restarts the frontend.
func (w *walk) editServer(_ string, pick picker) {
	w.serverEdits++
	switch pick("field", 3) {
	case 0:
		w.server = fmt.Sprintf("  healing: {backoff: {max: %ds}}\n", 60+w.serverEdits%7)
	case 1:
		w.server = fmt.Sprintf("  env: {EDIT: \"%d\"}\n", w.serverEdits)
	case 2:
		w.server = []string{"  router: {mode: auto}\n", "  router: {mode: kv}\n", "  router: {mode: round-robin}\n"}[pick("mode", 3)]
	}
	w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n" + w.server)
}

// live makes a round, checks it, and lets a second pass.
func (w *walk) live(t fataler, deep bool) actors.Result {
	w.rounds++
	if w.unsynced && w.rounds >= w.blindUntil {
		w.unsynced = false
	}
	in, kept := w.input()
	if deep {
		w.checkPure(t, in)
	}
	r := w.lasting.plan(in)
	if broken := plan.Check(in, r); len(broken) > 0 {
		t.Fatalf("%s%s", strings.Join(broken, "\n"), w.story("a"))
	}
	w.check(t, in, r)
	before := w.allRouted(in)
	w.carryOut(r, kept)
	w.noteReady(t, in)
	w.tick()
	w.checkEntries(t, in, before)
	return r
}

// noteReady remembers which generations were Ready: these are never given up.
func (w *walk) noteReady(t fataler, in actors.Input) {
	for _, m := range in.Desired.Models {
		st, ok := w.statuses[state.ModelKey(m.Server, m.Name)]
		if !ok || m.Accepted == 0 {
			continue
		}
		g := m.Template.Generation
		if was, ok := w.wasReady[m.Name]; ok && was != g {
			delete(w.wasReady, m.Name)
		}
		if c, _ := st.Condition(state.CondReady); c.Status == state.StatusTrue && st.Generation == g {
			w.wasReady[m.Name] = g
		}
		c, _ := st.Condition(state.CondUpToDate)
		if c.Reason == actors.CondRolledBack && w.wasReady[m.Name] == g {
			t.Fatalf("%s: generation %s was Ready and is given up: %+v%s", m.Name, g, c, w.story(m.Name))
		}
	}
}

// story shows how it came to this, for a person.
func (w *walk) story(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s agent away %v, unsynced %v, etcd away %v, frontend away %v\n", w.now.Format("15:04:05"), w.agentAway, w.unsynced, w.etcdAway, w.frontendAway)
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "node %s %d GPUs alive %v\n", n.ID, n.GPUs, n.Alive)
	}
	for _, k := range sortedKeys(w.units) {
		u := w.units[k]
		fmt.Fprintf(&b, "%s %s group %s %v %v", k, u.State, u.PlacementGroup.State, u.PlacementGroup.Nodes, u.PlacementGroup.Bundles)
		for _, a := range u.Actors {
			fmt.Fprintf(&b, " [%s %s attempt %d failures %d lease %d]", a.Name[strings.LastIndexByte(a.Name, 'D'):], a.State, a.Attempt, a.Failures, a.Lease)
		}
		b.WriteString("\n")
	}
	for _, c := range w.statuses[state.ModelKey("default", name)].Conditions {
		fmt.Fprintf(&b, "%s=%s %s %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, n := range slices.Sorted(maps.Keys(w.written)) {
		fmt.Fprintf(&b, "spec of %s: %s\n", n, strings.Join(strings.Fields(w.written[n].String()), " "))
	}
	fmt.Fprintf(&b, "broken %v %v\n%s\n", w.broken, w.brokenRole, strings.Join(w.journal, "\n"))
	return b.String()
}

// quiesce ends every disturbance and lets the cluster settle. What does not start goes
// on not starting, so it is waited for some attempts only.
func (w *walk) quiesce(t fataler) {
	w.agentAway, w.etcdAway, w.frontendAway = false, false, false
	w.nodesBack()
	w.note("- all faults end")
	for idle, jumps := 0, 0; idle < 12 && jumps < 40; idle++ {
		r := w.live(t, false)
		if w.unsynced || acts(r) {
			idle = 0
			continue
		}
		next := r.NextCheck
		for _, k := range sortedKeys(w.units) {
			if u := w.units[k]; u.PlacementGroup.State == "PENDING" && (next.IsZero() || w.pending[k].Add(3*time.Minute).Before(next)) {
				next = w.pending[k].Add(3 * time.Minute)
			}
		}
		if idle > 4 && next.After(w.now) { // until then nothing happens
			w.now, idle = next, 0
			jumps++
		}
	}
}

func acts(r actors.Result) bool {
	return len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes)+len(r.Gone) > 0
}
