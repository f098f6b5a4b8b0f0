package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors/simray"
	"dynctl/state"
	"dynctl/state/kv"
)

// rig is a whole reconciler in this process, with an embedded NATS and a real
// etcd, and a simulated Ray. Ray itself is at an address where nobody listens.
type rig struct {
	tb     testing.TB
	app    *App
	sim    *simray.Cluster
	client *kv.Client
	etcd   *simray.Etcd
	// storeAuth has the store let in nobody without a credential.
	storeAuth bool
	// dataDir of the reconciler; empty: one of the test's own.
	dataDir string
	// policy is its --policy.
	policy string
	// configure changes what is not set here; nil: nothing.
	configure func(*Config)
	// natsURL is a NATS that outlives it; empty: its own.
	natsURL string
	stop    func() // ends the reconciler, once

	mu     sync.Mutex
	first  map[string]time.Time // the first start command, by unit
	starts map[string]time.Time // the last
	ready  map[string]bool      // by key
	units  map[string]state.Unit
	worker map[string]state.Unit // by model, what was reported last
	gone   int                   // statuses that were removed
	change chan struct{}         // closed with each change
}

const rigPatience = 2 * time.Minute

func newRig(tb testing.TB, nodes int) *rig { return newRigOn(tb, nodes, "") }

// newRigOn is a rig on a NATS that outlives the reconciler; empty: on its own.
func newRigOn(tb testing.TB, nodes int, natsURL string) *rig {
	tb.Helper()
	r := &rig{tb: tb, natsURL: natsURL, first: map[string]time.Time{}, starts: map[string]time.Time{}, ready: map[string]bool{}, units: map[string]state.Unit{}, worker: map[string]state.Unit{}, change: make(chan struct{})}
	var err error
	if r.etcd, err = simray.StartEtcd(tb.Context(), "../../../bin/etcd", tb.TempDir()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.etcd.Close)
	ctx := r.start("http://127.0.0.1:1")
	js := r.connect()
	r.client = kv.New(js)
	r.follow()
	if natsURL != "" {
		ctx = context.WithoutCancel(ctx)
	}
	r.sim, err = simray.Start(ctx, simray.Config{JetStream: js, Etcd: r.etcd.Client, StoreID: r.app.views.StoreID(), Nodes: simray.Fleet(nodes, 8, 64)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.sim.Close)
	r.put("server.default", fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n"+
		"  etcd: {endpoint: %q}\n  nats: {url: \"nats://127.0.0.1:4\"}\n  healing: {backoff: {resetAfter: 1ns}}\n", r.etcd.URL))
	r.until("the server is ready", func() bool { return r.ready["server.default"] })
	return r
}

// start runs the reconciler until the test ends, as its context does.
func (r *rig) start(rayAddress string) context.Context {
	r.tb.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if r.dataDir == "" {
		r.dataDir = r.tb.TempDir()
	}
	cfg := Config{NATSURL: r.natsURL, DataDir: r.dataDir, Listen: "127.0.0.1:-1", HTTP: "127.0.0.1:0", RayAddress: rayAddress, RayNamespace: "ns", ID: "rig", LogFormat: "text", Policy: r.policy, StoreAuth: r.storeAuth}
	if r.configure != nil {
		r.configure(&cfg)
	}
	var err error
	if r.app, err = New(r.tb.Context(), cfg, log); err != nil {
		r.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.app.Run(ctx) }()
	app := r.app
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.tb.Error(err)
		}
		closing, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := app.Close(closing); err != nil {
			r.tb.Error(err)
		}
	})
	r.tb.Cleanup(r.stop)
	return ctx
}

// connect is a connection of its own, as that of any other program.
func (r *rig) connect() jetstream.JetStream {
	r.tb.Helper()
	return connectTo(r.tb, r.url())
}

// url is that of its NATS.
func (r *rig) url() string {
	if r.natsURL != "" {
		return r.natsURL
	}
	return r.app.natsURL()
}

func connectTo(tb testing.TB, url string) jetstream.JetStream {
	tb.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// follow notes when starts are sent, what runs and who is ready, as anybody may
// see it.
func (r *rig) follow() {
	r.tb.Helper()
	r.subscribe("dynctl.events.*.start.>", func(m *nats.Msg) {
		unit := strings.SplitN(m.Subject, ".", 5)[4]
		r.note(func() {
			r.starts[unit] = time.Now()
			if r.first[unit].IsZero() {
				r.first[unit] = r.starts[unit]
			}
		})
	})
	r.subscribe("$KV."+kv.BucketObserved+".unit.>", func(m *nats.Msg) {
		unit := strings.SplitN(m.Subject, ".", 5)[4]
		var u state.Unit
		if len(m.Data) > 0 && json.Unmarshal(m.Data, &u) != nil {
			return
		}
		r.note(func() {
			r.units[unit] = u
			if u.Model != "" {
				r.worker[u.Model] = u
			}
		})
	})
	client := kv.New(r.connect())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	r.tb.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		for s, err := range client.WatchStatuses(ctx) {
			if err != nil {
				continue
			}
			c, _ := s.Status.Condition(state.CondReady)
			r.note(func() {
				r.ready[s.Key.String()] = !s.Deleted && c.Status == state.StatusTrue
				if s.Deleted {
					r.gone++
				}
			})
		}
	})
}

func (r *rig) subscribe(subject string, f func(*nats.Msg)) {
	r.tb.Helper()
	nc := r.connect().Conn()
	_, err := nc.Subscribe(subject, f)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		r.tb.Fatal(err)
	}
}

// countOn counts what is published from now on.
func (r *rig) countOn(subject string, n *atomic.Int64) {
	r.tb.Helper()
	r.subscribe(subject, func(*nats.Msg) { n.Add(1) })
}

func (r *rig) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.change)
	r.change = make(chan struct{})
}

// until waits for what is seen, and says when it was.
func (r *rig) until(what string, ok func() bool) time.Time {
	r.tb.Helper()
	late := time.After(rigPatience)
	for {
		r.mu.Lock()
		holds, change := ok(), r.change
		r.mu.Unlock()
		if holds {
			return time.Now()
		}
		select {
		case <-change:
		case <-late:
			r.tb.Fatalf("%s: not within %s", what, rigPatience)
		}
	}
}

func (r *rig) put(key, document string) {
	r.tb.Helper()
	k, err := state.ParseKey(key)
	if err == nil {
		_, err = r.client.PutSpec(r.tb.Context(), k, []byte(document), kv.PutOptions{})
	}
	if err != nil {
		r.tb.Fatal(err)
	}
}

func modelName(i int) string { return fmt.Sprintf("m%04d", i) }

// declare puts models of one worker with one GPU each, and says when each was put.
func (r *rig) declare(models int) map[string]time.Time {
	r.tb.Helper()
	at := map[string]time.Time{}
	for i := range models {
		name := modelName(i)
		at[name] = time.Now()
		r.declareOne(name)
	}
	return at
}

// declareOne puts one model.
func (r *rig) declareOne(name string) {
	r.tb.Helper()
	r.put(modelKey(name), modelDocument(name))
}

func modelKey(name string) string { return "model.default." + name }

func modelDocument(name string) string {
	return "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: " + name + "}\nspec:\n  model: acme/" + name +
		"\n  servedName: " + name + "\n  engine: mocker\n  engineArgs: {max-model-len: 4096, block-size: 16}\n  resources: {gpus: 1}\n"
}

// nodesFor is how many nodes hold so many models.
func nodesFor(models int) int { return models/8 + 8 }

// oneReady waits until a model is ready.
func (r *rig) oneReady(name string) {
	r.tb.Helper()
	r.until(name+" is ready", func() bool { return r.ready[modelKey(name)] })
}

// removeOne deletes a model, and waits until its worker and its status are gone.
func (r *rig) removeOne(name string) {
	r.tb.Helper()
	unit, gone := r.runs(name).Unit, 0
	r.until("", func() bool { gone = r.gone; return true })
	if _, err := r.client.DeleteSpec(r.tb.Context(), state.ModelKey(state.DefaultServer, name), kv.DeleteOptions{}); err != nil {
		r.tb.Fatal(err)
	}
	r.until(name+" is gone", func() bool { return r.gone > gone && r.units[unit].State == "" })
}

// runs waits until the worker of a model runs, and returns it.
func (r *rig) runs(name string) (u state.Unit) {
	r.tb.Helper()
	r.until("a worker of "+name+" runs", func() bool {
		u = r.worker[name]
		return u.State == state.UnitRunning
	})
	return u
}

func (r *rig) allReady(models int) time.Time {
	r.tb.Helper()
	return r.until(fmt.Sprintf("%d models are ready", models), func() bool {
		n := 0
		for key, ready := range r.ready {
			if ready && strings.HasPrefix(key, "model.") {
				n++
			}
		}
		return n == models
	})
}

// workers waits until as many workers run, one of each model, and returns them by
// model.
func (r *rig) workers(models int) map[string]state.Unit {
	r.tb.Helper()
	var out map[string]state.Unit
	r.until(fmt.Sprintf("%d workers run", models), func() bool {
		out = map[string]state.Unit{}
		for _, u := range r.units {
			if u.Model != "" && u.State == state.UnitRunning {
				out[u.Model] = u
			}
		}
		return len(out) == models
	})
	return out
}

// healed waits until a worker runs in a later attempt than it did.
func (r *rig) healed(was state.Unit) {
	r.tb.Helper()
	r.until(was.Unit+" runs again", func() bool {
		u := r.units[was.Unit]
		return u.State == state.UnitRunning && u.Actors[0].Attempt > was.Actors[0].Attempt
	})
}

// started is when the first and the last start of a unit was sent.
func (r *rig) started(unit string) (first, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first[unit], r.starts[unit]
}

// restarted waits for a start of a unit after a moment, and says when it was sent.
func (r *rig) restarted(unit string, after time.Time) time.Time {
	r.tb.Helper()
	r.until("a start of "+unit, func() bool { return r.starts[unit].After(after) })
	_, last := r.started(unit)
	return last
}

// percentile of durations (0.5, 0.99): the least of which so large a part is not longer.
// Of fewer than 100 the 0.99 is the longest.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(int(math.Ceil(p*float64(len(sorted)))), 1)-1]
}
