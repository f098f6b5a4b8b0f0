//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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
	all := withDescendants(t, raylet)
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

// withDescendants are a process and all below it, parents first.
func withDescendants(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var child, parent int
		text := string(raw)
		_, rest, _ := strings.Cut(text[strings.LastIndex(text, ")")+1:], " ")
		if _, err := fmt.Sscanf(text, "%d", &child); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(rest, "%1s %d", new(string), &parent); err != nil {
			t.Fatal(err)
		}
		children[parent] = append(children[parent], child)
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}
