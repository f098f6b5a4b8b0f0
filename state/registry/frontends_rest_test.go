package registry

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// While some models move the others are not asked for as often, and what was last
// heard of them stays; but for the list, which is asked for each time.
func TestOnlyWhatMovesIsAskedForOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeFrontend{answers: map[string]recorded{
			"/v1/models": recording(t, 200, "models.json"), qwenReady: recording(t, 200, "ready_aggregated.json"), bigReady: recording(t, 200, "ready_disagg.json"),
		}}
		f := newFrontends(FrontendsConfig{}, fake)
		defer f.Close()
		target := func(moving ...string) map[string]FrontendTarget {
			return map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000", Models: []string{qwen, big}, Moving: moving}}
		}
		// A server that is new may be asked once more: at its beginning and when set.
		f.Set(target(big))
		got := fake.during(1950 * time.Millisecond)
		if n := got[bigReady]; n < 20 || n > 21 || got["/v1/models"] != n || got[qwenReady] > 2 || got[qwenReady] < 1 {
			t.Errorf("one of two moves: asked in 1.95 s: %v, want 20 times for the list and the one, and once for the other", got)
		}
		view := f.Snapshot()["default"].Models
		if !view[qwen].Ready || !view[qwen].Listed || len(view[qwen].Namespaces) != 1 || !view[big].Ready {
			t.Errorf("what was heard is forgotten: %+v", view)
		}
		fake.set(func() { fake.answers["/v1/models"] = recording(t, 200, "models_missing_prefill.json") })
		if got := fake.during(2 * time.Second); got[qwenReady] != 1 {
			t.Errorf("all are asked for every 2 s: %v", got)
		}
		if view := f.Snapshot()["default"].Models; view[big].Listed || !view[qwen].Listed {
			t.Errorf("the list is old: %+v", view)
		}
		f.Set(target())
		if got := fake.during(950 * time.Millisecond); got[qwenReady] < 9 || got[qwenReady] != got[bigReady] { // between two rounds
			t.Errorf("nobody says what moves: %v, want all every time", got)
		}
	})
}

// resting has a fake frontend asked for 60 models that rest for long.
func resting(t *testing.T) (*fakeFrontend, *Frontends, FrontendTarget) {
	t.Helper()
	fake := &fakeFrontend{answers: map[string]recorded{}}
	target := FrontendTarget{URL: "http://10.0.0.1:8000"}
	for i := range 60 {
		name := fmt.Sprintf("m%02d", i)
		target.Models = append(target.Models, name)
		fake.answers["/v1/models/"+name+"/ready"] = recording(t, 200, "ready_aggregated.json")
	}
	fake.list(target.Models...)
	f := newFrontends(FrontendsConfig{}, fake)
	t.Cleanup(f.Close)
	f.Set(map[string]FrontendTarget{"default": target})
	f.Settle("default", true)
	fake.during(30 * time.Second)
	return fake, f, target
}

func (f *fakeFrontend) list(names ...string) {
	var entries []string
	for _, name := range names {
		entries = append(entries, fmt.Sprintf("{\"id\": %q}", name))
	}
	f.set(func() { f.answers["/v1/models"] = recorded{200, `{"data": [` + strings.Join(entries, ",") + `]}`} })
}

// What rests is asked for once a minute, a few at a time, and the list as often as ever.
func TestWhatRestsIsAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, _, target := resting(t)
		got := fake.during(time.Minute)
		for _, name := range target.Models {
			if n := got["/v1/models/"+name+"/ready"]; n < 1 || n > 2 {
				t.Errorf("%s is asked for %d times a minute", name, n)
			}
		}
		if n := got["/v1/models"]; n != 30 {
			t.Errorf("the list is asked for %d times a minute, want 30", n)
		}
		if got := fake.during(2 * time.Second); len(got) > 1+4 {
			t.Errorf("%v: want the list and a few of the models", got)
		}
	})
}

// The list has all models in one answer: one that leaves it is seen within the same time
// whether it rests or not, and is asked for as often as others from then on.
func TestWhatRestsIsSeenToLeaveTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, f, target := resting(t)
		fake.list(target.Models[1:]...)
		fake.set(func() { delete(fake.answers, "/v1/models/m00/ready") })
		got := fake.during(2 * time.Second)
		if view := f.Snapshot()["default"].Models["m00"]; view.Listed || view.Ready || len(view.Namespaces) > 0 {
			t.Errorf("2 s after it has left the list: %+v, asked %v", view, got)
		}
		if got := fake.during(8 * time.Second); got["/v1/models/m00/ready"] < 4 || got["/v1/models/m59/ready"] > 1 {
			t.Errorf("in the 8 s after: %v, want m00 every 2 s", got)
		}
	})
}

// What does not rest any more is asked for as before, for some time after it has come to
// rest again too.
func TestWhatStirsIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, f, target := resting(t)
		target.Awake = target.Models[:1]
		f.Set(map[string]FrontendTarget{"default": target})
		if got := fake.during(10 * time.Second); got["/v1/models/m00/ready"] < 5 || got["/v1/models/m59/ready"] > 1 {
			t.Errorf("m00 does not rest: %v", got)
		}
		target.Awake = nil
		f.Set(map[string]FrontendTarget{"default": target})
		if got := fake.during(8 * time.Second); got["/v1/models/m00/ready"] < 4 {
			t.Errorf("it has just come to rest: %v", got)
		}
		fake.during(4 * time.Second)
		if got := fake.during(10 * time.Second); got["/v1/models/m00/ready"] > 1 {
			t.Errorf("it rests: %v", got)
		}
	})
}

// A model that has come, and that nobody says to be awake, is asked for once, and then as
// seldom as what rests.
func TestWhatHasNothingToSayIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, f, target := resting(t)
		target.Models = append([]string{"m-new"}, target.Models...)
		f.Set(map[string]FrontendTarget{"default": target})
		if n := fake.during(10 * time.Second)["/v1/models/m-new/ready"]; n < 1 || n > 2 { // and once when its turn comes
			t.Errorf("it is asked for %d times in 10 s", n)
		}
		target.Awake = []string{"m-new"}
		f.Set(map[string]FrontendTarget{"default": target})
		if n := fake.during(10 * time.Second)["/v1/models/m-new/ready"]; n < 5 {
			t.Errorf("awake it is asked for %d times in 10 s", n)
		}
	})
}

// A poke, as after a revocation, asks for the list and for what does not rest.
func TestAPokeLeavesAloneWhatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, f, target := resting(t)
		target.Awake = target.Models[:1]
		f.Set(map[string]FrontendTarget{"default": target})
		fake.during(time.Second)
		f.Poke("default")
		if got := fake.during(0); got["/v1/models"] != 1 || got["/v1/models/m00/ready"] != 1 || len(got) > 1+4 {
			t.Errorf("poked: %v", got)
		}
	})
}

// A poke asks for all that does not rest, whether it moves or not.
func TestAPokeAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeFrontend{answers: map[string]recorded{
			"/v1/models": recording(t, 200, "models.json"), qwenReady: recording(t, 200, "ready_aggregated.json"), bigReady: recording(t, 200, "ready_disagg.json"),
		}}
		f := newFrontends(FrontendsConfig{}, fake)
		defer f.Close()
		f.Set(map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000", Models: []string{qwen, big}, Moving: []string{big}}})
		fake.during(1950 * time.Millisecond)
		fake.during(2 * time.Second)
		f.Poke("default")
		synctest.Wait()
		if got := fake.during(0); got[qwenReady] != 1 {
			t.Errorf("poked: %v, want all", got)
		}
	})
}
