package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/actors/simray"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// networked is a reconciler, an agent, a NATS and an etcd, with a gate on every way between
// them. The test itself reaches NATS directly.
type networked struct {
	t      *testing.T
	client *kv.Client
	sim    *simray.Cluster
	*program
	ways   map[string]*natsdtest.Gate
	models int
	stops  atomic.Int64
}

// Ways between two programs.
const (
	reconcilerNATS = "reconciler and NATS"
	agentNATS      = "agent and NATS"
	reconcilerEtcd = "reconciler and etcd"
)

func newNetworked(t *testing.T, models int) *networked {
	t.Helper()
	etcd, err := simray.StartEtcd(t.Context(), "../../bin/etcd", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	server := natsdtest.Start(t).URL()
	n := &networked{t: t, ways: map[string]*natsdtest.Gate{
		reconcilerNATS: natsdtest.NewGate(t, server), agentNATS: natsdtest.NewGate(t, server), reconcilerEtcd: natsdtest.NewGate(t, etcd.URL),
	}}
	connect := func(url string) jetstream.JetStream {
		nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond), nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	n.client = kv.New(connect(server))
	js := n.client.JetStream()
	id, err := kv.EnsureBuckets(t.Context(), js)
	if err == nil {
		err = events.EnsureStream(t.Context(), js)
	}
	if err == nil {
		_, err = js.Conn().Subscribe("dynctl.events.*.stop.>", func(*nats.Msg) { n.stops.Add(1) })
	}
	if err != nil {
		t.Fatal(err)
	}
	n.sim, err = simray.Start(t.Context(), simray.Config{JetStream: connect(n.ways[agentNATS].URL()), Etcd: etcd.Client, StoreID: id, Nodes: simray.Fleet(1+models/8, 8, 64)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.sim.Close)
	n.program = runProgram(t, filepath.Join(t.TempDir(), "data"), "--nats-url", n.ways[reconcilerNATS].URL(), "--id", "r")
	n.put(state.ServerKey("default"), fmt.Sprintf("kind: Server\nmetadata: {name: default}\nspec:\n  etcd: {endpoint: %q}\n  nats: {url: \"nats://127.0.0.1:4\"}\n",
		strings.Replace(n.ways[reconcilerEtcd].URL(), "nats:", "http:", 1)))
	return n
}

func (n *networked) put(key state.Key, document string) {
	n.t.Helper()
	if _, err := n.client.PutSpec(n.t.Context(), key, []byte("apiVersion: dynctl/v1alpha1\n"+document), kv.PutOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

// declare puts one more model.
func (n *networked) declare() state.Key {
	n.t.Helper()
	name := fmt.Sprintf("m%d", n.models)
	n.models++
	key := state.ModelKey("default", name)
	n.put(key, "kind: Model\nmetadata: {name: "+name+"}\nspec: {model: acme/"+name+", servedName: "+name+", engine: mocker, resources: {gpus: 1}}\n")
	return key
}

// condition of an object, as its status says; none while it has no status.
func (n *networked) condition(key state.Key, typ string) state.Condition {
	ctx, cancel := context.WithTimeout(n.t.Context(), 2*time.Second)
	defer cancel()
	st, err := n.client.GetStatus(ctx, key)
	if err != nil {
		return state.Condition{}
	}
	c, _ := st.Condition(typ)
	return c
}

func (n *networked) readyz() string {
	found := regexp.MustCompile(`http=(http://[0-9.:]+)`).FindStringSubmatch(n.output.String())
	if found == nil {
		return "not up"
	}
	answer, err := http.Get(found[1] + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// within waits some ten times what a quiet machine needs, and says how long it took.
func (n *networked) within(what string, ok func() bool) time.Duration {
	n.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > 90*time.Second {
			n.t.Fatalf("not within 90 s: %s; /readyz: %s\n%s", what, n.readyz(), n.output.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began).Round(100 * time.Millisecond)
}

func (n *networked) ready(key state.Key) func() bool {
	return func() bool { return n.condition(key, state.CondReady).Status == state.StatusTrue }
}

// faults are what becomes of a way.
var faults = []struct {
	name       string
	begin, end func(*natsdtest.Gate)
	passes     bool // what is asked for meanwhile is carried out meanwhile
}{
	{"silent", (*natsdtest.Gate).Shut, (*natsdtest.Gate).Open, false},
	{"cut", (*natsdtest.Gate).Refuse, (*natsdtest.Gate).Open, false},
	{"200 ms away, with losses", func(g *natsdtest.Gate) { g.Delay(200 * time.Millisecond); g.Lose(0.05, time.Second) },
		func(g *natsdtest.Gate) { g.Delay(0); g.Lose(0, 0) }, true},
}

// TestNetworksThatFail: each way is silent, cut, and slow with losses. What is stale is said,
// with why; nothing is stopped or executed again; and what was asked for meanwhile is carried
// out once the way is whole, or meanwhile where something passes.
func TestNetworksThatFail(t *testing.T) {
	n := newNetworked(t, 12)
	first := n.declare()
	n.within("a model that is ready", n.ready(first))
	stale := map[string]func() bool{
		reconcilerNATS: func() bool {
			text := n.readyz()
			return strings.Contains(text, "nats: not connected") || strings.Contains(text, "leader: none")
		},
		agentNATS: func() bool {
			c := n.condition(first, state.CondWorkersReady)
			// There is no Ray here either, which is told in the agent's place once it is known.
			return c.Status == state.StatusUnknown && (c.Reason == actors.WaitAgentLost || c.Reason == actors.RayUnreachable)
		},
		reconcilerEtcd: func() bool {
			c := n.condition(first, state.CondRegistered)
			return c.Status == state.StatusUnknown && c.Reason == actors.CondEtcdUnreachable
		},
	}
	for _, way := range []string{reconcilerNATS, agentNATS, reconcilerEtcd} {
		for _, fault := range faults {
			t.Run(way+" "+fault.name, func(t *testing.T) {
				n.t = t
				gate := n.ways[way]
				fault.begin(gate)
				defer fault.end(gate)
				asked := n.declare()
				if fault.passes {
					t.Logf("ready after %s", n.within("ready over a slow way", n.ready(asked)))
					return
				}
				told := n.within("what is stale is said", stale[way])
				fault.end(gate)
				t.Logf("said after %s, and ready %s after it was whole", told, n.within("ready once it is whole", n.ready(asked)))
				n.within("the first is ready", n.ready(first))
			})
		}
	}
	n.t = t
	n.undisturbed()
}

// undisturbed fails if anything was stopped, or executed more than once.
func (n *networked) undisturbed() {
	n.t.Helper()
	units, err := n.sim.Units()
	if err != nil {
		n.t.Fatal(err)
	}
	running := 0
	for _, u := range units {
		for _, a := range u.Actors {
			if a.Attempt != 1 {
				n.t.Errorf("%s was executed %d times", u.Unit, a.Attempt)
			}
		}
		if u.Model != "" && u.State == state.UnitRunning {
			running++
		}
	}
	if running != n.models || n.stops.Load() != 0 {
		n.t.Errorf("%d of %d models run, %d stops were sent", running, n.models, n.stops.Load())
	}
}
