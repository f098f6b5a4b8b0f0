package plan_test

import (
	"fmt"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// deleting is a world of served models, with what a delete that is not dynctl's does.
type deleting struct {
	*testing.T
	*cluster
	keys []state.Key
}

func serve(t *testing.T, n int) *deleting {
	t.Helper()
	d := &deleting{T: t, cluster: newCluster(node("1", 8))}
	for i := range n {
		d.keys = append(d.keys, d.put(model(fmt.Sprintf("m%d", i), "")))
	}
	d.run(6)
	return d
}

// drop deletes models and checks which of them still have units some time later.
func (d *deleting) drop(seconds int, which ...int) {
	for _, i := range which {
		d.cluster.delete(d.keys[i], false)
	}
	d.run(seconds)
}

func (d *deleting) wantRunning(which ...int) {
	d.Helper()
	want := map[int]bool{}
	for _, i := range which {
		want[i] = true
	}
	for i := range d.keys {
		stopping := false
		for _, u := range d.of(fmt.Sprintf("m%d", i)) {
			stopping = stopping || u.State == state.UnitStopping
		}
		if running := len(d.of(fmt.Sprintf("m%d", i))) > 0 && !stopping; running != want[i] {
			d.Errorf("m%d runs: %v, want %v\n%v", i, running, want[i], d.journal)
		}
	}
}

// A delete whose hold is over is done: what was deleted later does not bring back
// what drains, and does not count it.
func TestADrainingDeleteIsNotBroughtBack(t *testing.T) {
	d := serve(t, 3)
	d.drains = true
	d.drop(15, 0)
	d.drop(15, 1)
	d.wantRunning(2)
	for range 5 {
		if r := d.round(); len(r.Starts) > 0 {
			t.Fatalf("started %+v", r.Starts)
		}
		d.tick()
	}
}

func TestTheGuardCountsWhatIsDeletedAtOnce(t *testing.T) {
	t.Run("one after the other is no mass deletion", func(t *testing.T) {
		d := serve(t, 4)
		d.drop(12, 0)
		d.drop(12, 1)
		d.drop(12, 2)
		d.wantRunning(3)
	})
	t.Run("what drains is no model any more", func(t *testing.T) {
		d := serve(t, 4)
		d.drains = true
		d.drop(15, 0)
		d.drop(30, 1, 2)
		d.wantRunning(1, 2, 3)
	})
	t.Run("within the hold of each other", func(t *testing.T) {
		d := serve(t, 3)
		d.drop(9, 0)
		d.drop(30, 1)
		d.wantRunning(0, 1, 2)
	})
	t.Run("seen only after both holds are over", func(t *testing.T) {
		d := serve(t, 3)
		d.cluster.delete(d.keys[0], false)
		d.cluster.delete(d.keys[1], false)
		d.now = d.now.Add(time.Hour)
		d.run(5)
		d.wantRunning(0, 1, 2)
	})
}

// A guard that is up stays up: neither time, nor a restart, nor a model that is
// written again answers it.
func TestTheGuardStaysUpUntilItIsConfirmed(t *testing.T) {
	d := serve(t, 4)
	d.drop(60, 0, 1, 2)
	d.wantRunning(0, 1, 2, 3)
	d.put(model("m0", ""))
	d.put(model("m1", ""))
	d.run(60)
	d.suspects = nil // what a restart forgets; the statuses stay
	d.wantRunning(0, 1, 2, 3)
	if c := d.condition(d.keys[2], state.CondUpToDate); c.Reason != actors.CondDeletionHeld {
		t.Errorf("UpToDate = %+v", c)
	}
	d.drop(60, 3)
	d.wantRunning(0, 1, 2, 3)
	d.confirmed = map[string]uint64{"default": d.revision}
	d.run(5)
	d.wantRunning(0, 1)
}

// A model that is written again is not held for the delete before.
func TestADeleteAfterAGuardedOneIsItsOwn(t *testing.T) {
	d := serve(t, 3)
	d.drop(30, 0, 1)
	d.put(model("m0", ""))
	d.put(model("m1", ""))
	d.run(5)
	d.drop(30, 0)
	d.wantRunning(1, 2)
}

func TestTheGuardIsToldOnceForEachModel(t *testing.T) {
	d := serve(t, 3)
	told := map[string]int{}
	count := func(r actors.Result) {
		for _, f := range r.Facts {
			if f.Type == actors.FactDeletionBlocked {
				told[f.Model]++
			}
		}
	}
	d.cluster.delete(d.keys[0], false)
	for i := range 20 {
		if i == 3 {
			d.cluster.delete(d.keys[1], false)
		}
		count(d.round())
		d.tick()
	}
	if told["m0"] != 1 || told["m1"] != 1 {
		t.Errorf("deletion-blocked by model: %v, want one each", told)
	}
}
