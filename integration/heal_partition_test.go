//go:build integration && netns

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/deploy/local"
	"dynctl/state"
)

// distant is a network namespace that is joined to this one by a bridge.
type distant struct {
	t                *testing.T
	name, link       string // of the namespace and of the bridge's end of its cable
	bridge           string
	address, gateway string
}

// newDistant makes one, until the test ends.
func newDistant(t *testing.T) *distant {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a network of its own takes root: run `sudo -E make partition`")
	}
	n := os.Getpid() % 60000
	d := &distant{
		t: t, name: fmt.Sprintf("dynctl-%d", n), link: fmt.Sprintf("dynl%d", n), bridge: fmt.Sprintf("dynb%d", n),
		gateway: fmt.Sprintf("10.213.%d.1", n%250), address: fmt.Sprintf("10.213.%d.2", n%250),
	}
	t.Cleanup(func() {
		for _, args := range []string{"netns del " + d.name, "link del " + d.bridge} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
			}
		}
	})
	d.ip("link add " + d.bridge + " type bridge")
	d.ip("addr add " + d.gateway + "/24 dev " + d.bridge)
	d.ip("link set " + d.bridge + " up")
	d.ip("netns add " + d.name)
	d.ip("link add " + d.link + " type veth peer name eth0 netns " + d.name)
	d.ip("link set " + d.link + " up")
	for _, args := range []string{"link set lo up", "addr add " + d.address + "/24 dev eth0", "link set eth0 up", "route add default via " + d.gateway} {
		d.ip("-n " + d.name + " " + args)
	}
	d.join()
	return d
}

func (d *distant) ip(args string) {
	d.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		d.t.Fatalf("ip %s: %v: %s (apt-get install iproute2; the kernel needs veth and bridge)", args, err, out)
	}
}

// join has all pass between the namespace and this one, part has it vanish without a word.
func (d *distant) join() { d.ip("link set " + d.link + " master " + d.bridge) }
func (d *distant) part() { d.ip("link set " + d.link + " nomaster") }

// TestHealPartition: the network between a node and all others fails, with everything alive
// on both sides. A short while of that changes nothing. Once Ray takes the node for dead its
// worker is executed elsewhere, once; what goes on behind the partition gets no request when
// the network is whole again, and ends.
func TestHealPartition(t *testing.T) {
	d := newDistant(t)
	for _, v := range local.NodeHealth {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	e := Start(t, Options{GPUs: 4, CPUs: 8})
	s := e.NewServer(t)
	s.Set(s.Mocker("holder", 1, "resources: {gpus: 2}"))
	s.Wait("holder", "Ready", readyIn) // with infra, where it can be reached in any case
	d.addNode(e, 2)
	s.Set(s.Mocker("m", 2, "resources: {gpus: 2}")) // one on each node
	s.Wait("m", "Ready", readyIn)
	s.Delete("model/holder") // leaves room on the head's
	s.Wait("holder", "deleted", time.Minute)
	near, far := s.workerAt("m", e.Agent(t).NodeIP), s.workerAt("m", d.address)
	if near == nil || far == nil {
		t.Fatalf("want a worker on each node: %+v", s.Workers("m", ""))
	}
	before := s.executions("", "m")
	tr := s.Traffic("m")

	d.part()
	time.Sleep(2 * time.Second) // of the 9 that Ray waits
	d.join()
	tr.Flow(20)
	requireNoRestart(t, before, s.executions("", "m"))

	parted := time.Now()
	d.part()
	Eventually(t, time.Minute, "Ray takes the node for dead", func() bool {
		return slices.ContainsFunc(e.nodes(t), func(n nodeView) bool { return n.ID == far.Node && !n.Alive })
	})
	t.Log("measured: taken for dead after", time.Since(parted).Round(100*time.Millisecond))
	Eventually(t, readyIn, "its worker is executed elsewhere", func() bool { return s.workerAt("m", d.address) == nil && len(s.Workers("m", "")) == 2 })
	s.Wait("m", "Ready", readyIn)
	t.Log("measured: whole again after", time.Since(parted).Round(100*time.Millisecond))
	if !Alive(far.PID) {
		t.Error("nothing lived on behind the partition, so nothing is proven of it")
	}
	settled := s.executions("", "m")
	if settled[near.Name] != before[near.Name] || settled[far.Name].Attempt != far.Attempt+1 {
		t.Errorf("want the worker here as it was and the other one executed once more:\nbefore %v\nafter  %v", before, settled)
	}

	d.join()
	RequireGone(t, far.PID, far.ChildPID)
	tr.Flow(40)
	r := tr.Stop()
	t.Log("measured:", r, r.Errors)
	requireNoRestart(t, settled, s.executions("", "m"))
	if pids := e.Matching(t, "-m dynamo.mocker", "--model-name m"); len(pids) != 2 {
		t.Errorf("%d processes serve the model, want 2: %v", len(pids), pids)
	}
}

// workerAt is the worker of a model on the node of an address; nil: there is none.
func (s *Server) workerAt(model, address string) *state.Actor {
	s.t.Helper()
	for _, a := range s.Workers(model, "") {
		if a.IP == address {
			return &a
		}
	}
	return nil
}

// addNode starts a raylet in the namespace, with its GPUs.
func (d *distant) addNode(e *Env, gpus int) {
	d.t.Helper()
	head := e.Agent(d.t).NodeIP
	if net.ParseIP(head).IsLoopback() {
		d.t.Fatalf("the head is at %s, where no other network reaches it", head)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), 3*time.Minute)
	defer cancel()
	if err := e.Stack.AddDistantNode(ctx, "node-distant", gpus, local.Distant{Namespace: d.name, Address: d.address, Head: head}); err != nil {
		d.t.Fatal(err)
	}
}
