//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynctl/state/kv"
)

// warmPool is what is told of the worker processes that are kept ready.
func (s *Server) warmPool() string {
	s.t.Helper()
	_, text := get(s.t, s.Env.Stack.HTTPURL()+"/readyz?verbose")
	var checks kv.Checks
	decode(s.t, text, &checks)
	for _, c := range checks.Checks {
		if c.Name == kv.CheckWarm {
			return c.Text
		}
	}
	return ""
}

// keep has that many processes kept on each node, and waits until they are there.
func (s *Server) keep(processes int) {
	s.t.Helper()
	s.declare(fmt.Sprintf("warmPool: {processesPerNode: %d}", processes))
	s.kept(processes)
}

func (s *Server) kept(processes int) {
	s.t.Helper()
	Eventually(s.t, readyIn, fmt.Sprintf("%d processes are kept", processes), func() bool {
		text := s.warmPool()
		return processes == 0 && text == "" || strings.HasPrefix(text, fmt.Sprintf("%d of %d worker processes", processes, processes))
	})
}

// TestRollFromAWarmPool: a roll takes the processes that are kept ready, they are there again
// after it, and what serves does not notice when none are kept any more.
func TestRollFromAWarmPool(t *testing.T) {
	s := Start(t, Options{}).NewServer(t, "warmPool: {processesPerNode: 1}")
	s.kept(1)
	s.Set(s.Mocker("m", 2))
	s.Wait("m", "Ready", readyIn)
	s.kept(1)
	old := s.generations("m")[0]
	tr := s.Traffic("m")
	began := time.Now()
	s.Set(s.Mocker("m", 2, another))
	s.awaitGeneration("m", old, rollTime)
	within(t, "roll of 2 replicas from a warm pool", time.Since(began), rollTime)
	s.kept(1)
	s.keep(0)
	tr.Flow(20)
	r := tr.Stop()
	t.Log("measured:", r)
	r.RequireNone(t)
}
