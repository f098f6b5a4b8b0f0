package plan_test

import (
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// However often etcd exits, it is away for less than the lease of a worker.
func TestInfraIsNeverAwayForLong(t *testing.T) {
	w := newCluster(node("1", 8))
	w.put(model("a", ""))
	w.run(8)
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	for i := range u.Actors {
		if u.Actors[i].Name == "dynamo_default_"+u.Generation+"_"+actors.LabelEtcd {
			u.Actors[i].Failures = 20
			w.exit(u, &u.Actors[i], -9)
		}
	}
	r := w.round()
	if due := r.NextCheck.Sub(w.now); len(r.Starts) == 0 && (r.NextCheck.IsZero() || due > 2*time.Second) {
		t.Errorf("executed again in %s, want 2 s at most", due)
	}
	w.run(6)
	if u.State != state.UnitRunning {
		t.Errorf("infra is %s 6 s later", u.State)
	}
}

// Everything needs infra, so only what ends soon after its start is waited for.
func TestInfraThatRanIsExecutedAtOnce(t *testing.T) {
	w := newCluster(node("1", 8))
	w.put(model("a", ""))
	w.run(8)
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	u.Actors[0].Failures = 20
	w.exit(u, &u.Actors[0], -9)
	if r := w.round(); len(r.Starts) != 1 {
		t.Fatalf("starts %v of an infra that ran for 7 s, want it at once", starts(r))
	}
	w.tick()
	w.exit(u, &u.Actors[0], -9)
	if r := w.round(); len(r.Starts) != 0 || r.NextCheck.Sub(w.now) > 2*time.Second {
		t.Errorf("starts %v, next check at %s: want what ended at its start to wait", starts(r), r.NextCheck)
	}
}
