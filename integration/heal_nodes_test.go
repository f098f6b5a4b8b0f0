//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/state"
)

// raylets are the raylet processes of the environment by Ray node id.
func (e *Env) raylets(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, pid := range e.Matching(t, "/raylet/raylet ", "--node_id=") {
		for _, p := range e.processes(t) {
			if p.PID != pid {
				continue
			}
			_, rest, _ := strings.Cut(p.Command, "--node_id=")
			id, _, _ := strings.Cut(rest, " ")
			out[id] = pid
		}
	}
	return out
}

func nodesOf(units []Unit) []string {
	var out []string
	for _, u := range units {
		if !slices.Contains(out, u.Node) {
			out = append(out, u.Node)
		}
	}
	return out
}

// TestHealNodes: what needs more than one node, on a head without GPUs and two
// raylets of 4 GPUs. The last parts kill one raylet, hang a node, and then restart Ray.
func TestHealNodes(t *testing.T) {
	e := Start(t, Options{Nodes: 2, GPUs: 4, CPUs: 8})
	t.Run("spread", e.testSpread)
	t.Run("ranks", e.testRanks)
	t.Run("placement", e.testPlacement)
	t.Run("budget", e.testBudget)
	t.Run("wait for nodes", e.testWaitForNodes)
	t.Run("raylet killed", e.testRayletKilled)
	t.Run("node hung", e.testNodeHung)
	t.Run("head restart", e.testHeadRestart)
}

// testSpread: a worker of 8 GPUs takes both nodes, one bundle each.
func (e *Env) testSpread(t *testing.T) {
	s := e.NewServer(t)
	s.Set(s.Mocker("wide", 1, "engineArgs: {tensor_parallel_size: 8}"))
	s.Wait("wide", "Ready", readyIn)
	u := s.Observed(s.UnitsOf("wide", "")[0].Unit)
	pg := u.PlacementGroup
	if pg.Strategy != "STRICT_SPREAD" || len(pg.Bundles) != 2 || pg.Bundles[0].GPU != 4 || len(pg.Nodes) != 2 || pg.Nodes[0] == pg.Nodes[1] {
		t.Errorf("group %+v, want two bundles of 4 GPUs on two nodes", pg)
	}
	if len(u.Actors) != 1 || u.Actors[0].Bundle != 0 || u.Actors[0].Node != pg.Nodes[0] {
		t.Errorf("actors %+v, want rank 0 alone (mocker), in bundle 0", u.Actors)
	}
	s.Chat("wide", "hello", 4)
}

// testRanks: vLLM gets one process per node, each told its rank and where the
// first one listens for the others. The engine is not installed here: the
// processes wait where they would import it.
func (e *Env) testRanks(t *testing.T) {
	wait := sitecustomize(t, "import sys, time\nif 'dynamo.vllm' in sys.orig_argv:\n    time.sleep(3600)\n")
	s := e.NewServer(t)
	s.Set(strings.Replace(s.Mocker("wide", 1, "engineArgs: {tensor_parallel_size: 8}", wait, "terminationGracePeriod: 1s"),
		"engine: mocker", "engine: vllm", 1))
	var u state.Unit
	Eventually(t, readyIn, "both ranks are executed", func() bool {
		units := s.UnitsOf("wide", "")
		if len(units) != 1 {
			return false
		}
		u = s.Observed(units[0].Unit)
		return len(u.Actors) == 2 && u.Actors[0].ChildPID != 0 && u.Actors[1].ChildPID != 0
	})
	first, second := u.Actors[0], u.Actors[1]
	if first.Node == second.Node || !slices.Equal(u.PlacementGroup.Nodes, []string{first.Node, second.Node}) {
		t.Errorf("ranks on %s and %s, want the bundles' two nodes %v", first.Node, second.Node, u.PlacementGroup.Nodes)
	}
	var master []string
	for rank, a := range u.Actors {
		master = append(master, masterPortOf(t, rank, a, first.IP))
	}
	if master[0] != master[1] || master[0] != strconv.Itoa(first.Ports["master"]) {
		t.Errorf("the ranks meet at ports %v, want that of the first: %v", master, first.Ports)
	}

	// The ranks live and die together: the others wait for a peer that is gone.
	Signal(t, second.ChildPID, syscall.SIGKILL)
	unit := u.Unit
	Eventually(t, backIn, "both ranks run their second attempt", func() bool {
		u = s.Observed(unit)
		return len(u.Actors) == 2 && u.Actors[0].Attempt == 2 && u.Actors[1].Attempt == 2 && u.Actors[0].ChildPID != 0 && u.Actors[1].ChildPID != 0
	})
	RequireGone(t, first.ChildPID, second.ChildPID)
}

// masterPortOf is the port at which a rank of two meets the other one, at the address of
// the first.
func masterPortOf(t *testing.T, rank int, a state.Actor, first string) string {
	t.Helper()
	argv := commandLine(t, a.ChildPID)
	group := []string{"--nnodes", "2", "--node-rank", strconv.Itoa(rank), "--master-addr", first, "--master-port"}
	at := slices.Index(argv, "--nnodes")
	if at < 0 || len(argv) <= at+len(group) || !slices.Equal(argv[at:at+len(group)], group) {
		t.Fatalf("rank %d runs %q, want %q in it", rank, argv, group)
	}
	if headless := slices.Contains(argv, "--headless"); headless != (rank > 0) {
		t.Errorf("rank %d runs headless: %v", rank, headless)
	}
	if gpus := environment(t, a.ChildPID)["CUDA_VISIBLE_DEVICES"]; len(strings.Split(gpus, ",")) != 4 {
		t.Errorf("rank %d sees the GPUs %q, want 4", rank, gpus)
	}
	return argv[at+len(group)]
}

// testWaitForNodes: a group that fits nowhere is kept, and not retried, until the
// node comes that it waits for.
func (e *Env) testWaitForNodes(t *testing.T) {
	s := e.NewServer(t, "placement: {waitForNodes: true}")
	s.Set(s.Mocker("large", 1, "resources: {gpus: 5}"))
	Eventually(t, backIn, "it waits", func() bool { return s.Reason("large", "Scheduled") == "WaitingForNodes" })
	var group string
	Eventually(t, backIn, "its group is requested", func() bool {
		units := s.UnitsOf("large", "")
		if len(units) == 1 {
			group = s.Observed(units[0].Unit).PlacementGroup.ID
		}
		return group != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := e.Stack.AddNode(ctx, "node-large", 5); err != nil {
		t.Fatal(err)
	}
	s.Wait("large", "Ready", readyIn)
	u := s.Observed(s.UnitsOf("large", "")[0].Unit)
	if u.PlacementGroup.ID != group {
		t.Errorf("it stands in the group %s, want the one that waited: %s", u.PlacementGroup.ID, group)
	}
	node := u.Actors[0].Node
	s.Delete("model/large")
	s.Wait("large", "deleted", time.Minute)
	Signal(t, e.raylets(t)[node], syscall.SIGKILL)
	Eventually(t, time.Minute, "Ray knows that the node is gone", func() bool {
		return !slices.ContainsFunc(e.nodes(t), func(n nodeView) bool { return n.ID == node && n.Alive })
	})
}

// testPlacement: excludeHeadNode and nodeSelector decide where a worker stands.
func (e *Env) testPlacement(t *testing.T) {
	s := e.NewServer(t)
	s.Set(s.Mocker("away", 1, "resources: {gpus: 1}", "placement: {excludeHeadNode: true}"),
		s.Mocker("chosen", 1, "resources: {gpus: 1}", "placement: {nodeSelector: {ray.io/node-type: worker}}"),
		s.Mocker("nowhere", 1, "resources: {gpus: 1}", "placement: {nodeSelector: {color: blue}}"))
	s.Wait("away", "Ready", readyIn)
	s.Wait("chosen", "Ready", readyIn)
	head := ""
	for _, n := range e.nodes(t) {
		if n.Head {
			head = n.ID
		}
	}
	for _, m := range []string{"away", "chosen"} {
		u := s.Observed(s.UnitsOf(m, "")[0].Unit)
		if u.Actors[0].Node == head || len(u.PlacementGroup.Selector) == 0 || u.PlacementGroup.Selector[0]["ray.io/node-type"] != "worker" {
			t.Errorf("%s stands on %s (head %s) with selectors %v", m, u.Actors[0].Node, head, u.PlacementGroup.Selector)
		}
	}
	st := s.status("model/nowhere")
	if c, _ := st.Condition(state.CondScheduled); c.Status != state.StatusFalse || c.Message == "" {
		t.Errorf("nowhere: %+v, want Scheduled=False and why", c)
	}
	if n := len(s.UnitsOf("nowhere", "")); n != 0 {
		t.Errorf("nowhere has %d units", n)
	}
}

// nodeView is an item of `dynctl get nodes -o json`.
type nodeView struct {
	ID    string
	Head  bool
	Alive bool
}

func (e *Env) nodes(t *testing.T) (out []nodeView) {
	t.Helper()
	decode(t, e.run(t, "", "get", "nodes", "-o", "json"), &out)
	return out
}

// testBudget: what fits runs, by priority and then by name; the rest waits with
// the numbers and starts by itself when there is room.
func (e *Env) testBudget(t *testing.T) {
	s := e.NewServer(t)
	const four = "resources: {gpus: 4}"
	s.Set(s.Mocker("holder", 2, four)) // what runs is never stopped for a priority
	// Ray was seen to leave a group pending for a minute with the room for it free;
	// after 180 s it is asked again.
	s.Wait("holder", "Ready", 4*time.Minute)
	s.Set(s.Mocker("a", 1, four), s.Mocker("b", 1, four), s.Mocker("urgent", 1, four, "priority: 10"))
	for _, m := range []string{"a", "b", "urgent"} {
		Eventually(t, backIn, m+" waits", func() bool { return s.Reason(m, "Scheduled") == "InsufficientGPUs" })
	}
	s.Dynctl("suspend", "model/holder")
	s.Wait("urgent", "Ready", readyIn)
	s.Wait("a", "Ready", readyIn)
	Eventually(t, backIn, "b waits", func() bool { return s.Reason("b", "Scheduled") == "InsufficientGPUs" })
	c, _ := s.status("model/b").Condition(state.CondScheduled)
	if !strings.Contains(c.Message, "4") {
		t.Errorf("the message names no numbers: %s", c.Message)
	}
	t.Log("message:", c.Message)
	s.Delete("model/a")
	freed := time.Now()
	s.Wait("b", "Ready", readyIn)
	within(t, "delete of a to b Ready", time.Since(freed), readyIn)
}

// testRayletKilled: with its node, a replica moves to the other one.
func (e *Env) testRayletKilled(t *testing.T) {
	s := e.NewServer(t)
	s.Set(s.Mocker("big", 1, "resources: {gpus: 3}"))
	s.Wait("big", "Ready", readyIn)
	s.Set(s.Mocker("m", 2, "resources: {gpus: 2}")) // both fit beside big on no node but the other
	s.Wait("m", "Ready", readyIn)
	raylets := e.raylets(t)
	victim, lost := s.besideInfra()
	if raylets[victim] == 0 {
		t.Fatalf("no worker stands on another node than infra: %+v; raylets %v", s.Units(), raylets)
	}
	if text := e.run(t, "", "doctor"); !strings.Contains(strings.Join(strings.Fields(text), " "), "3s after it was killed, 9s after it went silent") {
		t.Errorf("doctor does not tell what a dead node costs:\n%s", text)
	}
	killed := time.Now()
	Signal(t, raylets[victim], syscall.SIGKILL)
	Eventually(t, time.Minute, "nothing stands on the dead node, and what fits runs", func() bool {
		gpus, left := s.gpusBeside(victim)
		waits := s.Reason("m", "Scheduled") == "InsufficientGPUs" || s.Reason("big", "Scheduled") == "InsufficientGPUs"
		return left && gpus >= 3 && waits
	})
	within(t, "SIGKILL of a raylet to what fits running again", time.Since(killed), time.Minute)
	RequireGone(t, lost...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := e.Stack.AddNode(ctx, "node-back", 4); err != nil {
		t.Fatal(err)
	}
	s.Wait("m", "Ready", readyIn)
	s.Wait("big", "Ready", readyIn)
	if n := nodesOf(append(s.UnitsOf("m", ""), s.UnitsOf("big", "")...)); len(n) != 2 {
		t.Errorf("units stand on %v, want both nodes used again", n)
	}
}

// besideInfra is a node with workers and without the infrastructure, and the processes
// of the workers on it; empty: there is none.
func (s *Server) besideInfra() (node string, pids []int) {
	infra := s.InfraActor("Frontend").Node
	units := s.Units()
	for _, u := range units {
		if u.Unit != "infra" && u.Node != infra {
			node = u.Node
		}
	}
	for _, u := range units {
		if node != "" && u.Node == node {
			pids = append(pids, u.Actors[0].ChildPID)
		}
	}
	return node, pids
}

// gpusBeside counts the GPUs of what runs; left: nothing stands on the node, or comes
// from it.
func (s *Server) gpusBeside(node string) (gpus int, left bool) {
	for _, u := range s.Units() {
		if u.Node == node || u.State != "Running" && u.State != "Pending" && u.State != "Placing" {
			return 0, false
		}
		if u.State != "Running" {
			continue // its group waits in Ray
		}
		for _, b := range s.Observed(u.Unit).PlacementGroup.Bundles {
			gpus += b.GPU
		}
	}
	return gpus, true
}

// testHeadRestart: a new session is an empty cluster, and everything starts again.
func (e *Env) testHeadRestart(t *testing.T) {
	s := e.NewServer(t)
	s.Set(s.Mocker("m", 1, "resources: {gpus: 1}"))
	s.Wait("m", "Ready", readyIn)
	session := e.Agent(t).Session
	for _, p := range e.processes(t) {
		if p.PID != e.ReconcilerPID && !strings.Contains(p.Command, "bin/local guard") {
			_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have ended with the one before
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := e.Stack.StartRay(ctx); err != nil {
		t.Fatal(err)
	}
	up := time.Now()
	Eventually(t, 90*time.Second, "an agent of the new session is synced", func() bool {
		a := e.Agent(t)
		return a.Session != session && a.Synced
	})
	s.Wait("m", "Ready", 90*time.Second)
	within(t, "Ray up again to Ready", time.Since(up), 90*time.Second)
	s.Chat("m", "back?", 4)
	if n := len(s.Units()); n != 2 {
		t.Errorf("%d units, want infra and one worker: %s", n, fmt.Sprint(s.Units()))
	}
}
