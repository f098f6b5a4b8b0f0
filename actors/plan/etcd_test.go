package plan_test

import (
	"slices"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// restartEtcd restarts etcd, some time after the workers.
func (w *cluster) restartEtcd() {
	w.now = w.now.Add(time.Minute)
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	for i := range u.Actors {
		if _, ok := u.Actors[i].Ports[actors.PortEtcd]; ok {
			u.Actors[i].StartedAt = w.now
		}
	}
	w.now = w.now.Add(time.Minute)
}

// planned is the starts by reason of what etcd is said to hold.
func (w *cluster) planned(edit func(*state.Registrations)) map[string]int {
	in, _ := w.input()
	r := in.Registered["default"]
	edit(&r)
	in.Registered["default"] = r
	out := map[string]int{}
	for _, s := range plan.Plan(in).Starts {
		out[s.Reason]++
	}
	return out
}

func TestEtcdWithoutItsData(t *testing.T) {
	leases := func(w *cluster) (out []int64) {
		for _, u := range w.of("a") {
			out = append(out, u.Actors[0].Lease)
		}
		return out
	}
	drop := func(r *state.Registrations, gone ...int64) {
		var keep []state.Instance
		for _, i := range r.Instances {
			if len(gone) > 0 && i.Lease != gone[0] {
				keep = append(keep, i)
			}
		}
		r.Instances = keep
	}
	for _, row := range []struct {
		name string
		edit func(r *state.Registrations, leases []int64)
		want int // starts, infra's frontend included
	}{
		{"with its data", func(*state.Registrations, []int64) {}, 0},
		{"a worker left by itself", func(r *state.Registrations, l []int64) { drop(r, l[0]); r.Left = l[:1] }, 0},
		{"all workers left by themselves", func(r *state.Registrations, l []int64) { drop(r); r.Left = l }, 0},
		{"one is missing and was never seen, another is there", func(r *state.Registrations, l []int64) { drop(r, l[0]) }, 0},
		{"all went with the data", func(r *state.Registrations, l []int64) { drop(r); r.Lost = l }, 3},
		{"nobody has seen what went, and all are missing", func(r *state.Registrations, _ []int64) { drop(r) }, 3},
		{"one left before the data went", func(r *state.Registrations, l []int64) { drop(r); r.Left, r.Lost = l[:1], l[1:] }, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			key := w.put(model("a", "  replicas: 2\n"))
			w.run(8)
			ready(t, w, key)
			w.restartEtcd()
			got := w.planned(func(r *state.Registrations) { row.edit(r, leases(w)) })
			if got[actors.ReasonRegistrationLost] != row.want || len(got) > 1 {
				t.Errorf("starts by reason: %v, want %d of %s", got, row.want, actors.ReasonRegistrationLost)
			}
		})
	}
	t.Run("at once, when the registry saw it", func(t *testing.T) {
		w := newCluster(node("1", 8))
		w.put(model("a", "  replicas: 1\n"))
		w.run(8)
		w.restartEtcd()
		in, _ := w.input()
		in.Now = in.Now.Add(-time.Minute)
		r := in.Registered["default"]
		r.Instances, r.Lost = nil, leases(w)
		in.Registered["default"] = r
		if got := plan.Plan(in).Starts; len(got) != 2 {
			t.Errorf("starts = %+v, want the worker and the frontend", got)
		}
	})
}

// The frontend hears late of who leaves when etcd was away, so nothing that serves leaves
// before it has caught up.
func TestNothingThatServesLeavesWhileTheFrontendIsBehind(t *testing.T) {
	for name, edit := range map[string]string{
		"scaled down": "  replicas: 1\n",
		"rolled":      "  replicas: 2\n" + otherGeneration,
		"restarted":   "  replicas: 2\n  restart: again\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			key := w.put(model("a", "  replicas: 2\n"))
			w.run(8)
			ready(t, w, key)
			u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
			i := slices.IndexFunc(u.Actors, func(a state.Actor) bool { return a.Ports[actors.PortEtcd] != 0 })
			w.exit(u, &u.Actors[i], -9)
			w.run(2)
			old := slices.Clone(w.of("a"))
			attempts := func() (n int) {
				for _, u := range old {
					n += u.Actors[0].Attempt
				}
				return n
			}
			was, back := attempts(), u.Actors[i].StartedAt
			w.put(model("a", edit))
			for w.now.Sub(back) < 14*time.Second {
				if r := w.round(); len(r.Stops) != 0 || attempts() != was {
					t.Fatalf("%s after etcd is back: stops %+v, %d executions", w.now.Sub(back), r.Stops, attempts()-was)
				}
				w.tick()
			}
			w.run(20)
			ready(t, w, key)
			upToDate(t, w, key)
		})
	}
}
