package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

const (
	disaggSpec = "  mode: disagg\n"
	otherArgs  = "  engineArgs: {block_size: 32}\n"
	thirdArgs  = "  engineArgs: {block_size: 64}\n"
)

// story of one roll, as the frontend sees it.
type gateStory struct {
	// put and lifted are the rounds of the first gate and the first lift; -1: none.
	put, lifted int
	reasons     []string // of lifts
	starts      int      // round of the first start of a worker
	stops       int      // round of the first stop
	entered     int      // round at which the new generation gets requests; -1: never
	whole       int      // round at which all of it was registered
}

// watchRoll makes rounds and notes what happens to the generation that is wanted.
func watchRoll(t *testing.T, w *cluster, key state.Key, rounds int) gateStory {
	t.Helper()
	s := gateStory{-1, -1, nil, -1, -1, -1, -1}
	first := func(n *int, round int, happened bool) {
		if *n < 0 && happened {
			*n = round
		}
	}
	for n := range rounds {
		in, kept := w.input()
		m := in.Desired.Models[slices.IndexFunc(in.Desired.Models, func(m *actors.DesiredModel) bool { return m.Name == key.Name })]
		ns := "curator-" + m.Template.Generation
		roles := 0
		for _, i := range in.Registered["default"].Instances {
			if i.Namespace == ns {
				roles++
			}
		}
		first(&s.whole, n, roles >= len(m.Template.Roles))
		first(&s.entered, n, slices.Contains(w.routed(in, m), ns))
		r := plan.Plan(in)
		first(&s.put, n, len(r.Gates) > 0)
		first(&s.lifted, n, len(r.Lifts) > 0)
		first(&s.stops, n, len(r.Stops) > 0)
		first(&s.starts, n, slices.ContainsFunc(r.Starts, func(x actors.Start) bool { return x.Template.Unit != actors.InfraUnit }))
		for _, l := range r.Lifts {
			s.reasons = append(s.reasons, l.Reason)
		}
		w.carryOut(r, kept)
		w.tick()
	}
	return s
}

// A disaggregated generation is kept out of the frontend's choice from before anything
// of it can register until a moment after all of it has, whether or not another one
// serves; what serves already is not, nor is an aggregated one.
func TestADisaggregatedGenerationEntersWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after string
		gated         bool
	}{
		"a roll":                             {disaggSpec, disaggSpec + otherArgs, true},
		"of several":                         {disaggSpec + "  prefill: {replicas: 2}\n  decode: {replicas: 2}\n", disaggSpec + "  prefill: {replicas: 2}\n  decode: {replicas: 2}\n" + otherArgs, true},
		"an aggregated one":                  {"", otherArgs, false},
		"aggregated becomes disaggregated":   {"", disaggSpec, true},
		"disaggregated becomes aggregated":   {disaggSpec, "", false},
		"a first start":                      {"", disaggSpec, true},
		"a first start of an aggregated one": {"", "", false},
		"from suspended":                     {disaggSpec + "  suspend: true\n", disaggSpec, true},
		"from suspended, as another":         {disaggSpec + "  suspend: true\n", disaggSpec + otherArgs, true},
		"more replicas of what runs already": {disaggSpec, disaggSpec + "  prefill: {replicas: 2}\n  decode: {replicas: 1}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 16))
			if !strings.HasPrefix(name, "a first start") {
				w.put(model("a", tc.before))
				w.run(8)
			}
			key := w.put(model("a", tc.after))
			s := watchRoll(t, w, key, 40)
			ready(t, w, key)
			if len(w.gates) > 0 {
				t.Errorf("gates are left: %v", w.gates)
			}
			switch {
			case tc.gated:
				s.entersWhole(t, name)
			case s.put >= 0 || s.entered != s.whole && s.entered > 0:
				t.Errorf("%+v: want no gate, and requests as soon as all is registered", s)
			}
		})
	}
}

func (s gateStory) entersWhole(t *testing.T, name string) {
	t.Helper()
	switch {
	case s.put < 0 || s.put > s.starts && name != "a first start" || s.put >= s.whole: // whose server has no etcd before
		t.Errorf("%+v: the gate comes after the first start", s)
	case s.lifted < s.whole || s.lifted > s.whole+2 || s.entered <= s.whole || s.entered > s.whole+3:
		t.Errorf("%+v: want it lifted, and requests, once all has been registered for a moment", s)
	case s.stops >= 0 && s.stops <= s.lifted:
		t.Errorf("%+v: an old unit stops before the new generation has entered", s)
	case !slices.Equal(s.reasons, []string{actors.ReasonGenerationWhole}):
		t.Errorf("lifted for %v", s.reasons)
	}
}

// gatedRoll is a roll of a disaggregated model, halted when all of the new generation is
// registered and a gate keeps it out.
func gatedRoll(t *testing.T) (*cluster, state.Key) {
	t.Helper()
	w := newCluster(node("1", 16))
	w.put(model("a", disaggSpec))
	w.run(8)
	key := w.put(model("a", disaggSpec+otherArgs))
	for range 20 {
		if len(w.instances["default"]) == 4 {
			if len(w.gates) != 1 {
				t.Fatalf("gates %v, want one", w.gates)
			}
			return w, key
		}
		w.round()
		w.tick()
	}
	t.Fatal("the new generation never registers")
	return nil, key
}

func lifts(r actors.Result) (out []string) {
	for _, l := range r.Lifts {
		out = append(out, l.Reason)
	}
	return out
}

// The gate falls due by time alone, without another change to wake anybody.
func TestAGateIsLiftedInTime(t *testing.T) {
	w, _ := gatedRoll(t)
	in, kept := w.input()
	r := plan.Plan(in)
	if len(r.Lifts) > 0 || len(r.Stops) > 0 || !r.NextCheck.Equal(w.now.Add(500*time.Millisecond)) {
		t.Fatalf("lifts %v, stops %v, next round at %s, want none and one in 0.5 s", r.Lifts, r.Stops, r.NextCheck)
	}
	w.carryOut(r, kept)
	w.now = r.NextCheck
	if got := lifts(w.round()); !slices.Equal(got, []string{actors.ReasonGenerationWhole}) {
		t.Errorf("lifts for %v", got)
	}
}

// With nobody else to serve, a generation of which the frontend says nothing is let in
// sooner: half a service is better than none.
func TestAGateIsLiftedSoonerOnceNothingElseServes(t *testing.T) {
	w, _ := gatedRoll(t)
	in, _ := w.input()
	wanted := in.Desired.Models[0].Template.Generation
	for _, u := range w.of("a") {
		if u.Generation != wanted {
			w.broken[u.Generation] = true
			w.exit(u, &u.Actors[0], -9)
		}
	}
	w.frontendAway = true
	from := w.now
	for lifted := false; !lifted; w.tick() {
		lifted = len(w.round().Lifts) > 0
		if after := w.now.Sub(from); lifted && after < time.Second || after > 3*time.Second {
			t.Fatalf("lifted: %v, after %s, want about 2 s", lifted, after)
		}
	}
}

// Workers that wait for their frontend, as when a server starts from nothing, are heard by
// then: they wait for its way between the roles alone. Those that come after it wait longer.
func TestAFirstGenerationWaitsForTheFrontendAlone(t *testing.T) {
	for _, x := range []struct {
		registered time.Duration // before the frontend knows them
		want       time.Duration // from then on
	}{{0, 500 * time.Millisecond}, {200 * time.Millisecond, 300 * time.Millisecond}, {time.Second, 200 * time.Millisecond}} {
		w := newCluster(node("1", 16))
		w.put(model("a", disaggSpec))
		w.frontendAway = true
		for len(w.instances["default"]) < 2 {
			w.round()
			w.tick()
		}
		w.round()
		w.now, w.frontendAway = w.now.Add(x.registered), false
		r := w.round()
		if due := r.NextCheck.Sub(w.now); len(w.gates) != 1 || len(r.Lifts) > 0 || due != x.want {
			t.Errorf("registered for %s: gates %v, lifts %v, next round in %s, want one gate until %s", x.registered, w.gates, r.Lifts, due, x.want)
		}
		w.now = r.NextCheck
		if got := lifts(w.round()); !slices.Equal(got, []string{actors.ReasonGenerationWhole}) {
			t.Errorf("registered for %s: lifts for %v", x.registered, got)
		}
	}
}

// A frontend that never tells of the new workers keeps no generation out for ever.
func TestAGateIsLiftedWhateverTheFrontendSays(t *testing.T) {
	w, _ := gatedRoll(t)
	w.frontendAway = true
	var got []string
	n := 0
	for ; n < 30 && len(got) == 0; n++ {
		got = lifts(w.round())
		w.tick()
	}
	if !slices.Equal(got, []string{actors.ReasonGenerationWhole}) || n < 10 || n > 13 {
		t.Errorf("lifts for %v after %d s, want about 10", got, n)
	}
}

// A new leader knows the gate from etcd and renews it; it counts the moment again.
func TestANewLeaderTakesOverAGate(t *testing.T) {
	w, _ := gatedRoll(t)
	w.round()
	w.whole = nil // of another process
	w.now = w.now.Add(time.Second)
	r := w.round()
	if len(r.Lifts) > 0 || len(r.Gates) != 1 || r.Gates[0].Lease == 0 {
		t.Fatalf("lifts %v, gates %+v, want the one that stands renewed", r.Lifts, r.Gates)
	}
	w.tick()
	if got := lifts(w.round()); len(got) != 1 {
		t.Errorf("lifts for %v", got)
	}
}

// A gate whose lease ran out is put again only while something of its generation is
// still to come: one that serves is never taken out of the choice.
func TestAGenerationThatServesIsNotShut(t *testing.T) {
	w, key := gatedRoll(t)
	clear(w.gates)
	if r := w.round(); len(r.Gates) > 0 {
		t.Errorf("a gate before what is all there: %+v", r.Gates)
	}
	w.run(20)
	ready(t, w, key)
}

// A newer edit in mid-roll: its generation is kept out too, and nobody renews the gate of
// the one that is given up.
func TestANewerEditHasAGateOfItsOwn(t *testing.T) {
	w, key := gatedRoll(t)
	w.put(model("a", disaggSpec+thirdArgs))
	in, _ := w.input()
	third := "curator-" + in.Desired.Models[0].Template.Generation
	shut := false
	for range 40 {
		r := w.round()
		shut = shut || slices.ContainsFunc(r.Gates, func(g actors.Gate) bool { return g.Namespace == third })
		roles := map[string]bool{}
		for _, u := range w.of("a") {
			if "curator-"+u.Generation == third {
				roles[u.Role] = true
			}
		}
		if len(roles) == 2 && !shut { // one role alone is not chosen
			t.Fatalf("%s starts without a gate", third)
		}
		w.tick()
	}
	ready(t, w, key)
	if len(w.gates) > 0 {
		t.Errorf("gates are left: %v", w.gates)
	}
}

// The prefill worker that a generation in mid-roll loses comes back behind a gate.
func TestARoleThatComesBackEntersBehindAGate(t *testing.T) {
	w, _ := gatedRoll(t)
	in, _ := w.input()
	wanted := in.Desired.Models[0].Template.Generation
	w.drains = true // the old generation stays in the choice for as long as may be
	for _, u := range w.of("a") {
		if u.Generation == wanted && u.Role == state.RolePrefill {
			w.exit(u, &u.Actors[0], 1)
		}
	}
	clear(w.gates)
	w.round() // in which the lease of the dead one is revoked
	if r := w.round(); !slices.ContainsFunc(r.Gates, func(g actors.Gate) bool { return g.Namespace == "curator-"+wanted }) {
		t.Errorf("gates %+v, want one of %s", r.Gates, wanted)
	}
}

// So does the one that a generation loses which serves alone.
func TestTheOnlyWorkerOfARoleComesBackBehindAGate(t *testing.T) {
	w := newCluster(node("1", 16))
	key := w.put(model("a", disaggSpec))
	w.run(8)
	ready(t, w, key)
	for _, u := range w.of("a") {
		if u.Role == state.RoleDecode {
			w.exit(u, &u.Actors[0], 1)
		}
	}
	s := watchRoll(t, w, key, 12)
	ready(t, w, key)
	if s.put < 0 || s.lifted <= s.put || len(w.gates) > 0 {
		t.Errorf("%+v: want a gate that is lifted again; %v are left", s, w.gates)
	}
}

// A worker that exits again and again has its gate while it may register, and nobody
// renews one meanwhile: each keeps a round from being left out.
func TestNoGateStandsForWhatIsNotOnItsWay(t *testing.T) {
	w := newCluster(node("1", 16))
	key := w.put(model("a", disaggSpec))
	in, _ := w.input()
	w.brokenRole[in.Desired.Models[0].Template.Generation] = state.RolePrefill
	put, idle := 0, 0
	for range 120 {
		r := w.round()
		switch exited := slices.ContainsFunc(w.of("a"), func(u *state.Unit) bool { return u.State == state.UnitExited }); {
		case len(r.Gates) > 0 && exited && len(r.Starts) == 0:
			t.Fatalf("a gate for what has exited: %+v", r.Gates)
		case len(r.Gates) > 0:
			put++
		case exited:
			idle++
		}
		w.tick()
	}
	if put == 0 || idle == 0 || len(w.gates) > 1 {
		t.Errorf("%d rounds with a gate, %d without, %v are left", put, idle, w.gates)
	}
	clear(w.brokenRole)
	w.run(300)
	ready(t, w, key)
	if len(w.gates) > 0 {
		t.Errorf("gates are left: %v", w.gates)
	}
}

// What the frontend sends requests to is not shut, whatever etcd has lost.
func TestWhatIsListedIsNotShut(t *testing.T) {
	w := newCluster(node("1", 16))
	w.put(model("a", disaggSpec))
	w.run(8)
	in, _ := w.input()
	regs := in.Registered["default"]
	regs.Instances = regs.Instances[:1] // the frontend knows both still
	in.Registered["default"] = regs
	if r := plan.Plan(in); len(r.Gates) > 0 {
		t.Errorf("a gate before what serves: %+v", r.Gates)
	}
}
