package actors_test

import (
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// However often etcd exits, it is away for less than the lease of a worker.
func TestInfraIsNeverAwayForLong(t *testing.T) {
	w := newWorld(node("1", 8))
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
