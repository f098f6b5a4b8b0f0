package simray_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/actors/simray"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/leaktest"
	"dynctl/state/kv/natsd/natsdtest"
)

const storeID = "store"

func TestMain(m *testing.M) { leaktest.Main(m) }

// bench is a store without a reconciler: the tests are its voice.
type bench struct {
	t       *testing.T
	js      jetstream.JetStream
	client  *kv.Client
	etcd    *simray.Etcd
	cluster *simray.Cluster
	sent    int
}

func newBench(t *testing.T, nodes ...state.Node) *bench {
	t.Helper()
	_, js := natsdtest.Connect(t)
	if _, err := kv.EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	etcd, err := simray.StartEtcd(t.Context(), "../../bin/etcd", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	b := &bench{t: t, js: js, client: kv.New(js), etcd: etcd}
	b.cluster = b.start(nodes...)
	return b
}

func (b *bench) start(nodes ...state.Node) *simray.Cluster {
	b.t.Helper()
	c, err := simray.Start(b.t.Context(), simray.Config{JetStream: b.js, Etcd: b.etcd.Client, StoreID: storeID, Nodes: nodes})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// send publishes a command; change may spoil it.
func (b *bench) send(verb string, t actors.UnitTemplate, attempt int, change func(command, data map[string]any)) {
	b.t.Helper()
	attempts := map[string]actors.Attempt{}
	for _, a := range t.Actors {
		attempts[a.Name] = actors.Attempt{Number: attempt}
	}
	command := map[string]any{"storeId": storeID, "session": b.cluster.Session(), "deadline": 30, "template": t,
		"placement": actors.Attempt{Number: 1}, "attempts": attempts, "generation": t.Generation}
	data := map[string]any{"server": t.Server, "unit": t.Unit, "model": t.Model, "epoch": 5, "command": command}
	if change != nil {
		change(command, data)
	}
	b.sent++
	body, err := json.Marshal(map[string]any{"specversion": "1.0", "id": fmt.Sprint(b.sent), "type": verb, "source": "test", "data": data})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: "dynctl.events." + t.Server + "." + verb + "." + t.Unit, Data: body}); err != nil {
		b.t.Fatal(err)
	}
}

// see waits until what is reported is as wanted.
func (b *bench) see(what string, ok func(map[string]state.Unit) bool) map[string]state.Unit {
	b.t.Helper()
	watcher, err := b.bucket().WatchAll(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = watcher.Stop() }()
	late := time.After(20 * time.Second)
	for {
		list, err := b.client.ListUnits(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		units := map[string]state.Unit{}
		for _, u := range list {
			units[u.Unit] = *u
		}
		if ok(units) {
			return units
		}
		select {
		case <-watcher.Updates():
		case <-late:
			b.t.Fatalf("never seen: %s: %+v", what, units)
		}
	}
}

func (b *bench) bucket() jetstream.KeyValue {
	b.t.Helper()
	bucket, err := b.js.KeyValue(b.t.Context(), kv.BucketObserved)
	if err != nil {
		b.t.Fatal(err)
	}
	return bucket
}

func (b *bench) sees(unit string, ok func(state.Unit) bool) state.Unit {
	b.t.Helper()
	return b.see(unit, func(units map[string]state.Unit) bool {
		u, there := units[unit]
		return there && ok(u)
	})[unit]
}

func running(u state.Unit) bool { return u.State == state.UnitRunning }

func attempt(n int) func(state.Unit) bool {
	return func(u state.Unit) bool { return running(u) && u.Actors[0].Attempt == n }
}

// worker is the template of a worker on bundles of g GPUs each.
func worker(b *bench, name string, bundles, g int) actors.UnitTemplate {
	b.t.Helper()
	docs, err := state.Decode("test", []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: "+name+"}\nspec: {model: "+name+", engine: mocker}\n"))
	if err != nil {
		b.t.Fatal(err)
	}
	server := state.DefaultedServer("default")
	server.Spec.Etcd.Endpoint, server.Spec.NATS.URL = b.etcd.URL, "nats://elsewhere:4222"
	t, invalid := render.Model(render.ModelInput{Server: "default", ServerSpec: server.Spec, Model: name, Spec: docs[0].Object.Model.WithDefaults().Spec})
	if invalid != nil {
		b.t.Fatal(invalid)
	}
	shape := place.Shape{Strategy: "STRICT_SPREAD"}
	for range bundles {
		shape.Bundles = append(shape.Bundles, state.BundleShape{CPU: 1, GPU: g})
	}
	return render.Worker(t, render.WorkerInput{Role: t.Roles[0], Shape: shape, RayNamespace: "ns", PlacementTimeout: time.Minute})
}

func infra(b *bench) actors.UnitTemplate {
	b.t.Helper()
	server := state.DefaultedServer("default")
	t := render.Server(render.ServerInput{Server: "default", Spec: server.Spec})
	shape, unfit := place.Infra(t.Needs, []place.Room{{Node: simray.Fleet(1, 8, 64)[0], FreeCPUs: 64}})
	if unfit != nil {
		b.t.Fatal(unfit)
	}
	return render.Infra(t, "ns", shape)
}

// asks is the frontend's answer on a model.
func (b *bench) asks(frontend state.Actor, model string) int {
	b.t.Helper()
	url := fmt.Sprintf("http://%s:%d/v1/models/%s/ready", frontend.IP, frontend.Ports[actors.PortHTTP], model)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// answers waits for the frontend to answer with a status.
func (b *bench) answers(frontend state.Actor, model string, status int) {
	b.t.Helper()
	for late := time.Now().Add(20 * time.Second); ; {
		got := b.asks(frontend, model)
		if got == status {
			return
		}
		if time.Now().After(late) {
			b.t.Fatalf("the frontend answers %d for %s, want %d", got, model, status)
		}
	}
}

// A unit walks until it runs, registered in etcd and listed by the frontend; its
// lease outlives its process, and a stop leaves nothing.
func TestUnitsWalkRegisterAndStop(t *testing.T) {
	b := newBench(t, simray.Fleet(2, 8, 64)...)
	b.send("start", infra(b), 1, nil)
	m := worker(b, "m", 1, 1)
	b.send("start", m, 1, nil)
	u := b.sees(m.Unit, attempt(1))
	in := b.sees("infra", running)
	front := in.Actors[2]
	if u.Actors[0].Lease == 0 || u.StoreID != storeID || u.PlacementGroup.State != "CREATED" || len(u.Actors[0].GPUs) != 1 || u.Actors[0].Ports[actors.PortSystem] == 0 {
		t.Errorf("a running worker is reported as %+v", u)
	}
	if url := fmt.Sprintf("http://%s:%d", in.Actors[0].IP, in.Actors[0].Ports[actors.PortEtcd]); url != b.etcd.URL {
		t.Errorf("the managed etcd is said to be at %s, want %s", url, b.etcd.URL)
	}
	b.answers(front, "m", http.StatusOK)
	key := fmt.Sprintf("/m/generate/%x", u.Actors[0].Lease)
	if !b.registered(key) {
		t.Errorf("no instance ends in %s", key)
	}
	if err := b.cluster.Exit(u.Key(), -9); err != nil {
		t.Fatal(err)
	}
	exited := b.sees(m.Unit, func(u state.Unit) bool { return u.State == state.UnitExited }).Actors[0]
	if exited.PreviousLease != u.Actors[0].Lease || exited.Lease != 0 || exited.Exit == nil || exited.Exit.Code != -9 || !b.registered(key) {
		t.Errorf("after a kill: %+v, registered %v", exited, b.registered(key))
	}
	if _, err := b.etcd.Client.Revoke(t.Context(), clientv3.LeaseID(exited.PreviousLease)); err != nil {
		t.Fatal(err)
	}
	b.answers(front, "m", http.StatusNotFound)
	b.send("start", m, 2, nil)
	b.sees(m.Unit, attempt(2))
	b.answers(front, "m", http.StatusOK)
	b.send("stop", m, 0, nil)
	b.see("nothing of it", func(units map[string]state.Unit) bool { return len(units) == 1 })
	b.answers(front, "m", http.StatusNotFound)
}

func (b *bench) registered(suffix string) bool {
	b.t.Helper()
	all, err := b.etcd.Client.Get(b.t.Context(), "v1/instances/", clientv3.WithPrefix())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range all.Kvs {
		if strings.HasSuffix(string(e.Key), suffix) {
			return true
		}
	}
	return false
}

// Bundles of one unit lie on different nodes, GPUs are given once, and what does
// not fit waits for a node.
func TestPlacement(t *testing.T) {
	b := newBench(t, simray.Fleet(2, 4, 64)...)
	wide := worker(b, "wide", 2, 3)
	b.send("start", wide, 1, nil)
	u := b.sees(wide.Unit, running)
	if n := u.PlacementGroup.Nodes; len(n) != 2 || n[0] == n[1] {
		t.Errorf("two bundles to be spread lie on %v", n)
	}
	big := worker(b, "big", 1, 2)
	b.send("start", big, 1, nil)
	b.sees(big.Unit, func(u state.Unit) bool { return u.State == state.UnitPlacing })
	if err := b.cluster.AddNode(simray.Fleet(3, 4, 64)[2]); err != nil {
		t.Fatal(err)
	}
	if u := b.sees(big.Unit, running); u.PlacementGroup.Nodes[0] != "sim-002" {
		t.Errorf("it lies on %v", u.PlacementGroup.Nodes)
	}
}

// Each fault shows as the agent would tell it, and a start makes it good.
func TestFaults(t *testing.T) {
	b := newBench(t, simray.Fleet(2, 8, 64)...)
	m := worker(b, "m", 1, 1)
	b.send("start", m, 1, nil)
	u := b.sees(m.Unit, attempt(1))

	if err := b.cluster.KillActor(u.Actors[0].Name); err != nil {
		t.Fatal(err)
	}
	dead := b.sees(m.Unit, func(u state.Unit) bool { return u.State == state.UnitExited })
	if a := dead.Actors[0]; a.State != state.ActorDead || a.PreviousLease == 0 || a.Exit.Reason != "ActorDied" {
		t.Errorf("a dead actor is reported as %+v", a)
	}
	b.send("start", m, 2, nil)
	b.sees(m.Unit, attempt(2))

	if err := b.cluster.RemoveGroup(u.Key()); err != nil {
		t.Fatal(err)
	}
	b.sees(m.Unit, func(u state.Unit) bool { return u.State == state.UnitExited && u.PlacementGroup.State == "REMOVED" })
	b.send("start", m, 3, nil)
	b.sees(m.Unit, attempt(3))

	if err := b.cluster.KillNode("sim-000"); err != nil {
		t.Fatal(err)
	}
	b.sees(m.Unit, func(u state.Unit) bool { return u.State == state.UnitExited })
	b.send("start", m, 4, nil)
	if u := b.sees(m.Unit, attempt(4)); u.PlacementGroup.Nodes[0] != "sim-001" {
		t.Errorf("after the end of its node it lies on %v", u.PlacementGroup.Nodes)
	}
	for name, err := range map[string]error{
		"unit": b.cluster.Exit(state.UnitKey{Server: "default", Unit: "none"}, 1), "actor": b.cluster.KillActor("none"),
		"group": b.cluster.RemoveGroup(state.UnitKey{}), "node": b.cluster.KillNode("sim-000"),
	} {
		if !errors.Is(err, simray.ErrUnknown) {
			t.Errorf("a fault of an unknown %s: %v", name, err)
		}
	}
}

// Void commands are acknowledged and do nothing.
func TestRefusals(t *testing.T) {
	b := newBench(t, simray.Fleet(1, 8, 64)...)
	m := worker(b, "m", 1, 1)
	b.send("start", m, 1, nil)
	b.sees(m.Unit, running)
	b.send("stop", m, 0, func(_, data map[string]any) { data["epoch"] = 4 })
	b.send("stop", m, 0, func(command, _ map[string]any) { command["session"] = "another" })
	b.send("stop", m, 0, func(command, _ map[string]any) { command["storeId"] = "another" })
	b.send("stop", m, 0, func(command, _ map[string]any) { command["deadline"] = 1e-9 })
	b.send("stop", m, 0, func(command, _ map[string]any) { command["protocol"] = state.ProtocolNewest + 1 })
	b.send("start", m, 2, nil)
	b.sees(m.Unit, attempt(2))
	got, err := b.cluster.Refused()
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{simray.RefusedEpoch, simray.RefusedSession, simray.RefusedStore, simray.RefusedDeadline, simray.RefusedProtocol} {
		if got[reason] != 1 {
			t.Errorf("%s: %d refusals, want 1: %v", reason, got[reason], got)
		}
	}
	agent, err := b.client.GetAgent(t.Context())
	if err != nil || agent.Epoch != 5 {
		t.Errorf("epoch %d, want 5 (%v)", agent.Epoch, err)
	}
}

// The newer agent has the key; the older one ends by itself.
func TestTheNewerIncarnationIsInCharge(t *testing.T) {
	b := newBench(t, simray.Fleet(1, 8, 64)...)
	m := worker(b, "m", 1, 1)
	b.send("start", m, 1, nil)
	b.sees(m.Unit, running)
	second := b.start(simray.Fleet(1, 8, 64)...)
	if second.Incarnation() != b.cluster.Incarnation()+1 {
		t.Errorf("incarnation %d follows %d", second.Incarnation(), b.cluster.Incarnation())
	}
	select {
	case <-b.cluster.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the older one goes on")
	}
	if err := b.cluster.Err(); !errors.Is(err, simray.ErrSuperseded) {
		t.Errorf("it ended with %v", err)
	}
	units, err := b.client.ListUnits(t.Context())
	if err != nil || len(units) != 0 {
		t.Errorf("a new cluster has %v (%v)", units, err)
	}
	agent, err := b.client.GetAgent(t.Context())
	if err != nil || !agent.Synced || agent.Incarnation != second.Incarnation() {
		t.Errorf("the key says %+v (%v)", agent, err)
	}
}

func TestNoEtcdNamesTheCommandThatMakesIt(t *testing.T) {
	_, err := simray.StartEtcd(t.Context(), t.TempDir()+"/etcd", t.TempDir())
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "make bin/etcd") {
		t.Errorf("%v", err)
	}
}
