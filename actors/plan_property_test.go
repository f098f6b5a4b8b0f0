package actors_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dynctl/actors"
	"dynctl/state"
)

// walk is a random walk over a simulated cluster, with what must hold after each
// round.
type walk struct {
	*world
	names []string
	// hurt is when a model last lost something that was not the planner's doing.
	hurt map[string]time.Time
	bad  map[string]bool // names whose current spec cannot start
}

func startWalk() *walk {
	return &walk{world: newWorld(node("1", 4), node("2", 4), node("3", 2)), names: []string{"a", "b", "c"},
		hurt: map[string]time.Time{}, bad: map[string]bool{}}
}

// step does one random thing. pick(n) is 0..n-1.
func (w *walk) step(pick func(string, int) int) {
	name := w.names[pick("model", len(w.names))]
	key := state.ModelKey("default", name)
	switch pick("action", 12) {
	case 0, 1, 2:
		w.edit(name, pick)
	case 3:
		if _, ok := w.specs[key]; ok {
			w.delete(key, pick("now", 2) == 0)
			w.hurtModel(name)
		}
	case 4:
		w.hit(name, pick, func(u *state.Unit, a *state.Actor) {
			if a.ChildPID != 0 {
				w.exit(u, a, -9)
			}
		})
	case 5:
		w.hit(name, pick, func(u *state.Unit, a *state.Actor) {
			if a.State != state.ActorDead {
				w.exit(u, a, -9)
				a.State = state.ActorDead
				w.settleState(u)
			}
		})
	case 6:
		w.hit(name, pick, func(u *state.Unit, _ *state.Actor) { w.losePlacement(u) })
	case 7:
		w.agentAway = !w.agentAway
	case 8:
		w.etcdAway = !w.etcdAway
	case 9:
		w.loseNode(pick("node", len(w.nodes)))
	case 10:
		for i := range w.nodes {
			w.nodes[i].Alive = true
		}
	case 11:
		if e, ok := w.specs[key]; ok && !e.Deleted {
			e.Revision, e.Err = w.next(), fmt.Errorf("bad revision")
			w.specs[key] = e
		}
	}
}

func (w *walk) hurtModel(name string) { w.hurt[name] = w.now }

func (w *walk) edit(name string, pick func(string, int) int) {
	body := fmt.Sprintf("  engineArgs: {block_size: %d}\n", 16+pick("variant", 3))
	if pick("disagg", 3) == 0 {
		body += fmt.Sprintf("  mode: disagg\n  prefill: {replicas: %d}\n  decode: {replicas: %d}\n", 1+pick("p", 2), 1+pick("d", 2))
	} else {
		body += fmt.Sprintf("  replicas: %d\n", 1+pick("replicas", 3))
		if pick("tp", 4) == 0 {
			body += "  resources: {gpus: 2}\n"
		}
	}
	w.put(model(name, body))
}

// hit does something to one actor of a model's units.
func (w *walk) hit(name string, pick func(string, int) int, do func(*state.Unit, *state.Actor)) {
	units := w.of(name)
	if len(units) == 0 {
		return
	}
	u := units[pick("unit", len(units))]
	if u.State == state.UnitStopping || len(u.Actors) == 0 {
		return
	}
	w.hurtModel(name)
	do(u, &u.Actors[pick("actor", len(u.Actors))])
}

func (w *walk) loseNode(i int) {
	w.nodes[i].Alive = false
	for _, k := range sortedKeys(w.units) {
		u := w.units[k]
		if u.State == state.UnitStopping || !slices.ContainsFunc(u.Actors, func(a state.Actor) bool { return a.Node == w.nodes[i].ID }) {
			continue
		}
		if u.Model == "" {
			for _, n := range w.names {
				w.hurtModel(n)
			}
		}
		w.hurtModel(u.Model)
		w.losePlacement(u)
	}
}

// check is what must hold of every plan, however the cluster looks.
func (w *walk) check(t interface{ Fatalf(string, ...any) }) {
	in, _ := w.input()
	before, _ := w.input()
	r := actors.Plan(in)
	if d := cmp.Diff(before.Observed, in.Observed); d != "" {
		t.Fatalf("the input was changed:\n%s", d)
	}
	starts := map[state.UnitKey]bool{}
	for _, s := range r.Starts {
		starts[state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}] = true
	}
	stops := map[state.UnitKey]bool{}
	for _, s := range r.Stops {
		if starts[s.Key] || stops[s.Key] {
			t.Fatalf("%s is started and stopped, or stopped twice, in one plan", s.Key)
		}
		stops[s.Key] = true
	}
	live := map[int64]bool{}
	for _, u := range w.units {
		for _, a := range u.Actors {
			if a.ChildPID != 0 && a.Lease != 0 {
				live[a.Lease] = true
			}
		}
	}
	for _, x := range r.Revokes {
		if live[x.Lease] {
			t.Fatalf("the lease %d of a live worker would be revoked", x.Lease)
		}
	}
	if w.agentAway && len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes)+len(r.Gone) > 0 {
		t.Fatalf("acts while the agent is away: %+v", r)
	}
	if w.etcdAway {
		for _, s := range r.Stops {
			if s.Reason == actors.ReasonRollOld || s.Reason == actors.ReasonMakeRoom {
				t.Fatalf("rolls while etcd is away: %+v", s)
			}
		}
	}
	if len(r.Sweeps) > 0 {
		t.Fatalf("sweeps what is ours: %+v", r.Sweeps)
	}
	w.checkRoom(t, r)
}

// checkRoom says that no more GPUs are asked for than are left. A group that waits
// for one node to have enough holds none yet.
func (w *walk) checkRoom(t interface{ Fatalf(string, ...any) }, r actors.Result) {
	total, used := 0, 0
	alive := map[string]bool{}
	for _, n := range w.nodes {
		if n.Alive {
			total += n.GPUs
			alive[n.ID] = true
		}
	}
	for _, u := range w.units {
		if u.PlacementGroup.State != "CREATED" {
			continue
		}
		for b, id := range u.PlacementGroup.Nodes {
			if alive[id] {
				used += u.PlacementGroup.Bundles[b].GPU
			}
		}
	}
	asked := 0
	for _, s := range r.Starts {
		k := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
		if u := w.units[k]; u != nil && u.PlacementGroup.State != "REMOVED" {
			continue
		}
		for _, b := range s.Template.PlacementGroup.Bundles {
			asked += b.GPU
		}
	}
	if asked > 0 && used+asked > total {
		t.Fatalf("%d GPUs are used, %d more are asked for, there are %d: %v\n%s", used, asked, total, starts(r), strings.Join(w.journal, "\n"))
	}
}

// quiesce ends every disturbance and lets the cluster settle.
func (w *walk) quiesce() {
	w.agentAway, w.etcdAway = false, false
	for i := range w.nodes {
		w.nodes[i].Alive = true
	}
	for idle := 0; idle < 15; {
		r := w.round()
		w.tick()
		idle++
		if len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) > 0 {
			idle = 0
		}
		if r.NextCheck.After(w.now) { // nothing happens before that but what tick does
			w.now, idle = r.NextCheck, 0
		}
	}
}

// converged says what must hold once nothing disturbs any more.
func (w *walk) converged(t interface{ Fatalf(string, ...any) }) {
	r := w.round()
	if len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) > 0 {
		t.Fatalf("no fixpoint: starts %v stops %v sweeps %v revokes %v\n%s", starts(r), r.Stops, r.Sweeps, r.Revokes, strings.Join(w.journal, "\n"))
	}
	for key, e := range w.specs {
		st, ok := w.statuses[key]
		if e.Deleted {
			blocked := ok && w.condition(key, state.CondUpToDate).Reason == actors.CondDeletionHeld
			if (ok || len(w.of(key.Name)) > 0) && !blocked {
				t.Fatalf("%s was deleted and is still there: %+v", key, st.Conditions)
			}
			continue
		}
		if !ok {
			t.Fatalf("%s has no status", key)
		}
		accepted, _ := st.Condition(state.CondAccepted)
		scheduled, _ := st.Condition(state.CondScheduled)
		available, _ := st.Condition(state.CondAvailable)
		switch {
		case st.AcceptedRevision == 0 || scheduled.Reason == actors.ReasonInsufficientGPUs:
		case available.Status != state.StatusTrue:
			t.Fatalf("%s does not serve: %+v\n%s", key, st.Conditions, strings.Join(w.journal, "\n"))
		case accepted.Status == state.StatusTrue:
			if c, _ := st.Condition(state.CondUpToDate); c.Status != state.StatusTrue {
				t.Fatalf("%s is not up to date: %+v\n%s\n%s", key, c, w.picture(key.Name), strings.Join(w.journal, "\n"))
			}
		}
	}
	for k, u := range w.units {
		if u.Model != "" && !slices.Contains(slices.Collect(maps.Keys(w.specs)), state.ModelKey(k.Server, u.Model)) {
			t.Fatalf("unit %s belongs to no spec", k)
		}
	}
}

func starts(r actors.Result) []string {
	var out []string
	for _, s := range r.Starts {
		out = append(out, s.Template.Unit+" "+s.Reason)
	}
	return out
}

func TestRandomWalkConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := startWalk()
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step(pick)
			for range rapid.IntRange(0, 4).Draw(t, "rounds") {
				w.check(t)
				w.round()
				w.tick()
			}
		}
		w.quiesce()
		w.converged(t)
	})
}

// TestEditsNeverInterrupt: while nothing but specs changes, and every spec can
// start and there is room to surge, a model that was available stays so.
func TestEditsNeverInterrupt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := startWalk()
		w.nodes = []state.Node{node("1", 32), node("2", 32)}
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		for _, n := range w.names {
			w.edit(n, pick)
		}
		w.run(12)
		for range rapid.IntRange(1, 20).Draw(t, "edits") {
			w.edit(w.names[pick("model", len(w.names))], pick)
			for range rapid.IntRange(0, 8).Draw(t, "rounds") {
				w.check(t)
				w.round()
				w.tick()
				w.round()
				for _, n := range w.names {
					key := state.ModelKey("default", n)
					if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
						t.Fatalf("%s is not available: %+v\n%s", n, w.statuses[key].Conditions, strings.Join(w.journal, "\n"))
					}
				}
			}
		}
		w.quiesce()
		w.converged(t)
	})
}

func TestPlanIsDeterministicUnderShuffling(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := startWalk()
	pick := func(_ string, n int) int { return rng.IntN(n) }
	for range 200 {
		w.step(pick)
		in, _ := w.input()
		want := actors.Plan(in)
		rng.Shuffle(len(in.Observed.Units), func(i, j int) {
			in.Observed.Units[i], in.Observed.Units[j] = in.Observed.Units[j], in.Observed.Units[i]
		})
		rng.Shuffle(len(in.Observed.Nodes), func(i, j int) {
			in.Observed.Nodes[i], in.Observed.Nodes[j] = in.Observed.Nodes[j], in.Observed.Nodes[i]
		})
		rng.Shuffle(len(in.Desired.Models), func(i, j int) {
			in.Desired.Models[i], in.Desired.Models[j] = in.Desired.Models[j], in.Desired.Models[i]
		})
		if d := cmp.Diff(want, actors.Plan(in)); d != "" {
			t.Fatalf("another order, another plan:\n%s", d)
		}
		w.round()
		w.tick()
	}
}

// picture shows the units of a model and its conditions, for a person.
func (w *walk) picture(name string) string {
	var b strings.Builder
	for _, u := range w.of(name) {
		fmt.Fprintf(&b, "%s %s group %s %v", u.Unit, u.State, u.PlacementGroup.State, u.PlacementGroup.Nodes)
		for _, a := range u.Actors {
			fmt.Fprintf(&b, " [%s attempt %d failures %d lease %d]", a.State, a.Attempt, a.Failures, a.Lease)
		}
		b.WriteString("\n")
	}
	for _, c := range w.statuses[state.ModelKey("default", name)].Conditions {
		fmt.Fprintf(&b, "%s=%s %s %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}
