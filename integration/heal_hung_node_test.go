//go:build integration

package integration

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// testNodeHung: a node that falls silent with everything on it, as a host that swaps or is
// cut off, is taken for dead by the settings of `make up` after 9 s, and when it wakes
// nothing of what ran there lives on.
func (e *Env) testNodeHung(t *testing.T) {
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 2, "resources: {gpus: 3}")) // one on each node
	s.Wait("m", "Ready", readyIn)
	victim, lost := s.besideInfra()
	raylet := e.raylets(t)[victim]
	if raylet == 0 {
		t.Fatalf("no worker stands on another node than infra: %+v", s.Units())
	}
	tr := s.Traffic("m")
	all, err := local.WithDescendants(raylet)
	if err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	for _, pid := range all {
		Signal(t, pid, syscall.SIGSTOP)
	}
	Eventually(t, time.Minute, "Ray takes the node for dead", func() bool {
		return !slices.ContainsFunc(e.nodes(t), func(n nodeView) bool { return n.ID == victim && n.Alive })
	})
	within(t, "SIGSTOP of a node to Ray taking it for dead", time.Since(stopped), 30*time.Second)
	Eventually(t, backIn, "what was lost waits for room", func() bool { return s.Reason("m", "Scheduled") == "InsufficientGPUs" })
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGCONT) // the raylet ends its own as soon as it wakes
	}
	RequireGone(t, append(lost, raylet)...)
}
