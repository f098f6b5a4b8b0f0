package plan_test

import (
	"slices"
	"testing"
	"time"

	"dynctl/state"
)

// The last worker that a generation has of a role is told to leave its traffic to
// the generation that serves beside it; nobody else is.
func TestTheLastOfAGenerationRetires(t *testing.T) {
	const other = "  engineArgs: {block_size: 32}\n"
	for name, tc := range map[string]struct {
		before, after string
		gpus          int
		want          []bool // by stop, in turn
	}{
		"a roll":                       {before: "", after: other, gpus: 8, want: []bool{true}},
		"a roll of two":                {before: "  replicas: 2\n", after: "  replicas: 2\n" + other, gpus: 8, want: []bool{false, true}},
		"one by one, for want of room": {before: "  replicas: 2\n", after: "  replicas: 2\n" + other, gpus: 2, want: []bool{false, true}},
		"nobody else serves":           {before: "", after: other, gpus: 1, want: []bool{false}},
		"a scale-down":                 {before: "  replicas: 2\n", after: "  replicas: 1\n", gpus: 8, want: []bool{false}},
		"suspended":                    {before: "  replicas: 2\n", after: "  replicas: 2\n  suspend: true\n", gpus: 8, want: []bool{false, false}},
		"a prefill; no request goes to its decode alone": {before: "  mode: disagg\n", after: "  mode: disagg\n" + other, gpus: 8, want: []bool{true, false}},
		"aggregated becomes disaggregated":               {before: "  replicas: 2\n", after: "  mode: disagg\n", gpus: 8, want: []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", tc.gpus))
			key := w.put(model("a", tc.before))
			w.run(8)
			ready(t, w, key)
			w.put(model("a", tc.after))
			var got []bool
			stopped := map[state.UnitKey]bool{}
			for range 60 {
				for _, s := range w.round().Stops {
					if !stopped[s.Key] {
						got = append(got, s.Retires)
					}
					stopped[s.Key] = true
				}
				w.tick()
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("retires: %v, want %v", got, tc.want)
			}
		})
	}
}

// A worker that was killed while no agent was there to tell is registered for up to
// 10 s more. Alone it would be chosen: the last one that lives stays until then.
func TestNobodyLeavesAGenerationToTheDead(t *testing.T) {
	w := newCluster(node("1", 8))
	key := w.put(model("a", ""))
	w.run(8)
	ready(t, w, key)
	old := "curator-" + w.statuses[key].Generation
	w.put(model("a", "  engineArgs: {block_size: 32}\n"))
	const dead = 99
	for n := range 20 {
		if n < 10 { // etcd has not heard of the revocation
			w.instances["default"][dead] = state.Instance{Namespace: old, Component: "a", Endpoint: "generate", Lease: dead, Card: true}
		}
		_, there := w.instances["default"][dead]
		if r := w.round(); there && len(r.Stops) > 0 {
			t.Fatalf("round %d stops the last that lives: %+v", n, r.Stops)
		}
		w.tick()
	}
	ready(t, w, key)
	if n := len(w.of("a")); n != 1 {
		t.Errorf("%d units are left, want 1", n)
	}
}

// With the request plane nats a request that was sent to a worker which died waits there for
// 10 s, unless the frontend's environment says otherwise, and is sent again to a worker of
// the same generation: somebody of it stays as long, whenever in a roll the worker died and
// however much room there is.
func TestSomebodyStaysForWhatWasSentToTheDead(t *testing.T) {
	for name, tc := range map[string]struct {
		server      string
		stays, goes time.Duration // at least, at most in the shortest case
	}{
		"nats":                  {stays: 10 * time.Second, goes: 12 * time.Second},
		"nats, other timeout":   {server: "  env: {DYN_NATS_REQUEST_TIMEOUT_SECS: \"6\"}\n", stays: 6 * time.Second, goes: 8 * time.Second},
		"nats, timeout unknown": {server: "  env: {DYN_NATS_REQUEST_TIMEOUT_SECS: soon}\n", stays: 10 * time.Second, goes: 12 * time.Second},
		"tcp":                   {server: "  requestPlane: tcp\n", goes: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			shortest := time.Hour
			for _, d := range deaths() {
				alone := d.roll(t, tc.server)
				if alone < tc.stays {
					t.Errorf("%+v: the last of the generation went %s after the death", d, alone)
				}
				shortest = min(shortest, alone)
			}
			if shortest > tc.goes {
				t.Errorf("the last of a generation stays for %s at least, longer than it has to", shortest)
			}
		})
	}
}

// aDeath is that of a worker of two beside a roll of its model.
type aDeath struct {
	gpus, victim int
	after        int  // rounds of the roll; -1: before it begins
	again        bool // the next attempt fails before it is ready
}

func deaths() (out []aDeath) {
	apart := 1
	if raceDetector {
		apart = 5
	}
	for _, gpus := range []int{8, 3, 2} {
		for victim := range 2 {
			for after := -1; after < 14; after += apart {
				out = append(out, aDeath{gpus, victim, after, false}, aDeath{gpus, victim, after, true})
			}
		}
	}
	return out
}

// roll returns how long after the death another worker of the generation served; an hour where
// none did then.
func (d aDeath) roll(t *testing.T, server string) time.Duration {
	t.Helper()
	w := newCluster(node("1", d.gpus))
	if server != "" {
		w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n" + server)
	}
	key := w.put(model("a", "  replicas: 2\n"))
	w.run(8)
	ready(t, w, key)
	generation := w.statuses[key].Generation
	edit := func() { w.put(model("a", "  replicas: 2\n"+otherGeneration)) }
	if d.after >= 0 {
		edit()
		w.run(d.after)
	}
	serving := w.servingOf(generation)
	if len(serving) < 2 {
		return time.Hour // no other one is left, so nobody can take the request
	}
	victim := serving[d.victim]
	w.exit(victim, &victim.Actors[0], -9)
	first := victim.Actors[0].Exit
	died, last := w.now, w.now
	if d.after < 0 {
		edit()
	}
	for range 60 {
		if len(w.servingOf(generation)) > 0 {
			last = w.now
		}
		w.round()
		if x := &victim.Actors[0]; d.again && x.State == state.UnitStarting && x.LastExit == nil {
			w.exit(victim, x, 1)
			x.LastExit = first
		}
		w.tick()
	}
	ready(t, w, key)
	if n := len(w.of("a")); n != 2 {
		t.Errorf("%+v: %d units are left, want 2", d, n)
	}
	return last.Sub(died)
}

// servingOf are the units of a generation of model a that run.
func (w *cluster) servingOf(generation string) []*state.Unit {
	return slices.DeleteFunc(w.of("a"), func(u *state.Unit) bool {
		return u.Generation != generation || u.State != state.UnitRunning
	})
}
