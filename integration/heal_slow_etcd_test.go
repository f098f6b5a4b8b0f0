//go:build integration

package integration

import (
	"syscall"
	"testing"
	"time"

	"dynctl/state/kv/natsd/natsdtest"
)

// TestHealSlowEtcd: the reconciler is 200 ms away from a managed etcd, each way, and a twentieth
// of what passes is lost. A worker that dies is taken out of the frontend's choice and executed
// again, a model that is declared is served, both some seconds later than elsewhere; nothing
// else is executed again, no request fails.
func TestHealSlowEtcd(t *testing.T) {
	link, err := natsdtest.OpenProxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	// Of what the reconciler dials its etcd client alone takes this.
	e := Start(t, Options{ReconcilerEnv: []string{"HTTPS_PROXY=http://" + link.Addr(), "NO_PROXY="}})
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	if !link.Passing() {
		t.Fatal("the reconciler reaches etcd another way, so nothing is proven")
	}
	unit := s.UnitsOf("m", "")[0].Unit
	victim, before := s.Observed(unit).Actors[0], s.executions("", "m")
	tr := s.Traffic("m")

	link.Delay(200 * time.Millisecond)
	link.Lose(0.05, time.Second)
	gone := s.LeaseGone(victim.Lease)
	killed := time.Now()
	Signal(t, victim.ChildPID, syscall.SIGKILL)
	next := s.AwaitAttempt(unit, victim.Name, 2, backIn)
	within(t, "SIGKILL to the lease revoked", (<-gone).Sub(killed), 10*time.Second)
	within(t, "SIGKILL to the next exec", next.StartedAt.Sub(killed), 10*time.Second)
	asked := time.Now()
	s.Set(s.Mocker("late", 1))
	s.Wait("late", "Ready", readyIn)
	within(t, "put to Ready", time.Since(asked), backIn)
	s.Wait("m", "Ready", readyIn)
	tr.Flow(40)
	link.Delay(0)
	link.Lose(0, 0)

	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
	after := s.executions("", "m")
	delete(before, victim.Name)
	delete(after, victim.Name)
	requireNoRestart(t, before, after)
}
