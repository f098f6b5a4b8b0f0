//go:build integration

package integration

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"dynctl/state/kv/natsd"
)

// TestLostBuckets: a bucket that is emptied, deleted or gone stops nothing that
// serves, and what it held is there again.
func TestLostBuckets(t *testing.T) {
	e := Start(t, Options{})
	s := e.NewServer(t)
	s.Set(s.Mocker("plain", 1), s.MockerDisagg("split", 1, 1))
	s.Wait("plain", "Ready", readyIn)
	s.Wait("split", "Ready", readyIn)
	before := s.executions("", "plain", "split")
	load := s.Load("plain", 10)
	_, js := e.connectAs(t, natsd.UserReconciler) // who alone may write all of it

	for _, bucket := range []string{"dynctl_observed", "dynctl_status", "dynctl_lease", "dynctl_specs"} {
		t.Run("deleted "+bucket, func(t *testing.T) {
			if err := js.DeleteKeyValue(t.Context(), bucket); err != nil {
				t.Fatal(err)
			}
			Eventually(t, backIn, "the bucket is there again", func() bool {
				_, err := js.KeyValue(t.Context(), bucket)
				return err == nil
			})
			s.requireUntouched(t, before)
		})
	}
	t.Run("purged dynctl_observed", func(t *testing.T) {
		stream, err := js.Stream(t.Context(), "KV_dynctl_observed")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.requireUntouched(t, before)
	})
	t.Run("deleted keys of dynctl_observed", func(t *testing.T) {
		kv, err := js.KeyValue(t.Context(), "dynctl_observed")
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range s.Units() {
			if err := kv.Delete(t.Context(), "unit."+s.Name+"."+u.Unit); err != nil {
				t.Fatal(err)
			}
			s.requireUntouched(t, before)
		}
	})
	requireNoFailure(t, load.Stop())

	// The specs that were in the bucket are declared again by whoever has them; what
	// they ask for runs already.
	s.declare()
	s.Set(s.Mocker("plain", 1), s.MockerDisagg("split", 1, 1))
	s.Wait("plain", "Ready", readyIn)
	s.Wait("split", "Ready", readyIn)
	s.requireUntouched(t, before)
}

// requireUntouched gives the reconciler time for many rounds and two looks, and
// wants the same processes, registered as before and known to the agent.
func (s *Server) requireUntouched(t *testing.T, before map[string]execution) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		for name, x := range before {
			if !Alive(x.PID) || !Alive(x.ChildPID) {
				t.Fatalf("%s was ended", name)
			}
		}
	}
	Eventually(t, backIn, "the agent tells of every unit again", func() bool {
		var units []Unit
		stdout, _, code := s.Env.Exec(t, "", "get", "units", "-o", "json")
		if code != 0 || json.Unmarshal([]byte(stdout), &units) != nil || len(units) < 4 {
			return false
		}
		return maps.Equal(before, s.executions("", "plain", "split"))
	})
	leases := s.Leases()
	for _, u := range s.Units() {
		for _, a := range u.Actors {
			if a.Lease != 0 && !leases[a.Lease] {
				t.Errorf("%s lost its lease %x", a.Name, a.Lease)
			}
		}
	}
	if stops := s.facts("stop"); len(stops) > 0 {
		t.Errorf("stops: %+v", stops)
	}
	if sweeps := s.facts("sweep"); len(sweeps) > 0 {
		t.Errorf("sweeps: %+v", sweeps)
	}
}
