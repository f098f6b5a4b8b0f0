package plan_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/state"
)

// snapshotOf tells what runs, and in which attempt.
func (w *cluster) snapshotOf() map[state.UnitKey]string {
	out := map[state.UnitKey]string{}
	for k, u := range w.units {
		for _, a := range u.Actors {
			out[k] += u.Generation + "/" + a.Name + "/"
			out[k] += string(rune('0' + a.Attempt))
		}
	}
	return out
}

// acceptLost accepts without any status, with the history that was asked for.
func (w *cluster) acceptLost(past map[state.Key][]accept.Entry) (actors.Desired, map[state.Key]accept.Kept) {
	units := slices.Collect(maps.Values(w.units))
	return accept.Revisions(accept.Input{Synced: true, Recover: true, Observed: true, Entries: w.entries(), Units: units, Past: past})
}

// loseStatuses is what is left after the status bucket was emptied, and keeps rounds
// going until everything is settled again.
func (w *cluster) loseStatuses() {
	w.statuses = map[state.Key]state.Status{}
	w.lasting.memo = accept.Memo{}
	w.changed = true
}

func TestALostStatusTouchesNothingThatRuns(t *testing.T) {
	rows := map[string]func(w *cluster, key state.Key) (past map[state.Key][]accept.Entry, accepted uint64){
		"the newest revision runs": func(w *cluster, key state.Key) (map[state.Key][]accept.Entry, uint64) {
			return nil, w.specs[key].Revision
		},
		"the newest was rejected": func(w *cluster, key state.Key) (map[state.Key][]accept.Entry, uint64) {
			was := w.specs[key]
			w.put(model("a", "  replicas: -1\n"))
			return map[state.Key][]accept.Entry{key: {was, w.specs[key]}}, was.Revision
		},
		"no revision renders to what runs": func(w *cluster, key state.Key) (map[state.Key][]accept.Entry, uint64) {
			w.put(model("a", "  engineArgs: {max-model-len: 77}\n"))
			return map[state.Key][]accept.Entry{key: {w.specs[key]}}, w.specs[key].Revision
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w, key := served(t)
			before := w.snapshotOf()
			generation := w.statuses[key].Generation
			past, accepted := row(w, key)
			w.loseStatuses()
			if past != nil {
				awaitsItsPast(t, w)
			}
			w.past = past
			w.changed = true
			w.run(20)
			if now := w.snapshotOf(); !maps.Equal(now, before) {
				t.Errorf("what runs is %v, was %v", now, before)
			}
			s := w.statuses[key]
			if s.Generation != generation || s.AcceptedRevision != accepted {
				t.Errorf("status %+v; want generation %s, revision %d", s, generation, accepted)
			}
		})
	}
}

// awaitsItsPast wants nothing to be done until the history of what runs is known.
func awaitsItsPast(t *testing.T, w *cluster) {
	t.Helper()
	d, _ := w.acceptLost(nil)
	if len(d.Awaited) == 0 || !d.Models[0].Recovering {
		t.Fatalf("its history is not asked for: %+v", d)
	}
	w.past = nil
	for range 3 {
		if r := w.round(); len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) > 0 {
			t.Fatalf("something is done before it is known: %+v", r)
		}
	}
}

func TestALostStatusIsMadeAgain(t *testing.T) {
	t.Run("an edit since is rolled to", func(t *testing.T) {
		w, key := served(t)
		was := w.specs[key]
		w.put(model("a", "  engineArgs: {max-model-len: 77}\n"))
		w.loseStatuses()
		w.past = map[state.Key][]accept.Entry{key: {was, w.specs[key]}}
		w.run(60)
		ready(t, w, key)
		if s := w.statuses[key]; s.AcceptedRevision != w.specs[key].Revision || len(w.of("a")) != 1 {
			t.Errorf("status %+v", s)
		}
	})
	t.Run("what has exited of a generation whose template is lost with it ends", func(t *testing.T) {
		w, key := served(t)
		w.run(3)
		old := w.of("a")[0]
		was := w.specs[key]
		w.put(model("a", "  engineArgs: {max-model-len: 77}\n"))
		w.round()
		w.exit(old, &old.Actors[0], 1)
		w.loseStatuses()
		w.past = map[state.Key][]accept.Entry{key: {was, w.specs[key]}}
		w.run(20)
		ready(t, w, key)
		if left := w.of("a"); len(left) != 1 || left[0] == old {
			t.Errorf("%d units are left, the exited one is %s", len(left), old.State)
		}
	})
	t.Run("of a server whose namespace is its own", func(t *testing.T) {
		w := newCluster(node("1", 8))
		server := w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {dynamoNamespace: mine}\n")
		key := w.put(model("a", ""))
		w.run(10)
		before := w.snapshotOf()
		w.loseStatuses()
		w.run(10)
		if now := w.snapshotOf(); !maps.Equal(now, before) || len(before) != 2 {
			t.Errorf("what runs is %v, was %v", now, before)
		}
		if a, b := w.statuses[server], w.statuses[key]; a.AcceptedRevision != 1 || b.AcceptedRevision != 2 {
			t.Errorf("statuses %+v %+v", a, b)
		}
	})
	t.Run("something unreadable stands in its place and nobody has told yet what runs", func(t *testing.T) {
		w, key := served(t)
		d, _ := accept.Revisions(accept.Input{Synced: true, Recover: true, Lost: map[state.Key]bool{key: true}, Entries: []*accept.Entry{new(w.specs[key])}})
		if len(d.Models) != 1 || !d.Models[0].Recovering || d.Models[0].Accepted != 0 {
			t.Errorf("%+v", d.Models)
		}
	})
}

// The spec bucket was emptied: what was accepted runs, says so, and can be deleted.
func TestSpecMissing(t *testing.T) {
	w, key := served(t)
	before := w.snapshotOf()
	delete(w.specs, key)
	w.changed = true
	w.run(5)
	if now := w.snapshotOf(); !maps.Equal(now, before) {
		t.Errorf("what runs is %v, was %v", now, before)
	}
	for typ, want := range map[string]string{state.CondAccepted: state.StatusTrue, state.CondUpToDate: state.StatusFalse} {
		if c := w.condition(key, typ); c.Status != want || c.Reason != actors.CondSpecMissing {
			t.Errorf("%s is %+v", typ, c)
		}
	}
	if c := w.condition(key, state.CondReady); c.Status != state.StatusTrue {
		t.Errorf("it serves, and Ready is %+v", c)
	}
	w.delete(key, true)
	w.run(60)
	if len(w.of("a")) > 0 {
		t.Errorf("deleted, and %v are left", w.of("a"))
	}
}

func without(units []*state.Unit, key state.UnitKey) []*state.Unit {
	return slices.DeleteFunc(slices.Clone(units), func(u *state.Unit) bool { return u.Key() == key })
}

// A unit whose value cannot be read is neither started, nor stopped, nor its lease
// revoked, and no other model waits for it.
func TestAHiddenUnit(t *testing.T) {
	w := newCluster(node("1", 2))
	a, b := w.put(model("a", "  resources: {gpus: 1}\n")), w.put(model("b", "  resources: {gpus: 1}\n"))
	w.run(10)
	ready(t, w, a)
	ready(t, w, b)
	hidden := w.of("a")[0].Key()
	w.exit(w.of("b")[0], &w.of("b")[0].Actors[0], 1)
	for i := range 5 {
		in, _ := w.input()
		in.Observed.Units = without(in.Observed.Units, hidden)
		in.Observed.Unreadable = []state.UnitKey{{Server: "default", Unit: "zzz"}, hidden}
		r := plan.Plan(in)
		w.unclaimed = r.Unclaimed
		for _, s := range r.Starts {
			if s.Template.Model != "b" {
				t.Errorf("started: %+v", s.Template)
			}
		}
		if i == 0 && len(r.Starts) != 1 {
			t.Errorf("the other is not healed: %+v", r)
		}
		if len(r.Stops)+len(r.Sweeps)+len(r.Gone) > 0 {
			t.Errorf("stopped: %+v", r)
		}
		for _, x := range r.Revokes {
			if x.Key != w.of("b")[0].Key() {
				t.Errorf("revoked: %+v", x)
			}
		}
		w.now = w.now.Add(time.Second)
	}
}

// The spec bucket was recreated and counts from 1 again: an equal number is not an
// equal spec, also where the reconciler has been restarted meanwhile, and whether the
// document is another or the template alone is.
func TestAnEqualRevisionOfAnotherBucket(t *testing.T) {
	w, key := served(t)
	w.created = w.now
	w.changed = true
	w.run(3)
	revision, generation := w.statuses[key].AcceptedRevision, w.statuses[key].Generation
	if in := w.statuses[key].AcceptedIn; !in.Equal(w.created) {
		t.Fatalf("the status says that its revision is of the bucket of %s, want %s", in, w.created)
	}
	w.put(model("a", "  engineArgs: {max-model-len: 77}\n"))
	e := w.specs[key]
	e.Revision = revision
	w.specs[key] = e
	w.created = w.now.Add(time.Second)
	w.lasting.memo, w.changed = accept.Memo{}, true
	w.run(60)
	ready(t, w, key)
	s := w.statuses[key]
	if s.AcceptedRevision != revision || !s.AcceptedIn.Equal(w.created) || s.Generation == generation {
		t.Errorf("status %+v; generation was %s", s, generation)
	}
}

// A delete marker of another bucket with an equal number is held like any other.
func TestAnEqualDeleteOfAnotherBucket(t *testing.T) {
	w, key := served(t)
	w.created, w.changed = w.now, true
	w.run(3)
	s := w.statuses[key]
	s.DeletionBlocked = s.ObservedRevision
	for i := range s.Conditions {
		if s.Conditions[i].Type == state.CondReady {
			s.Conditions[i].Reason = actors.CondDeleting
		}
	}
	w.statuses[key] = s
	w.specs[key] = accept.Entry{Key: key, Revision: s.ObservedRevision, Deleted: true, At: w.now}
	w.created, w.changed = w.now.Add(time.Second), true
	in, _ := w.input()
	if r := plan.Plan(in); len(r.Stops) > 0 {
		t.Errorf("stopped at once: %+v", r.Stops)
	}
}
