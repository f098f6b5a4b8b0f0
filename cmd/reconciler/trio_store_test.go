package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors/simray"
	"dynctl/state"
	"dynctl/state/kv"
)

// trioStore is a fleet on a store of three servers, with two reconcilers.
type trioStore struct {
	*trio
	js     jetstream.JetStream
	client *kv.Client
	sim    *simray.Cluster
	both   []*program
	heard  heard
	acked  acked
	failed int // puts that were not acknowledged
}

// replicatedStreams are the four buckets and the stream of events.
const replicatedStreams = 5

func newTrioStore(t *testing.T, models int) *trioStore {
	t.Helper()
	s := &trioStore{trio: startTrio(t), acked: acked{last: map[state.Key]kv.SpecEntry{}}}
	s.js = s.connect()
	s.client = kv.New(s.js)
	etcd, err := simray.StartEtcd(t.Context(), "../../bin/etcd", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	s.madeBefore()
	for i := range 2 {
		id := "r" + strconv.Itoa(i)
		s.both = append(s.both, runProgram(t, filepath.Join(t.TempDir(), id), "--nats-url", s.url(), "--replicas", "3", "--id", id))
	}
	t.Cleanup(func() {
		for _, p := range s.both {
			if t.Failed() {
				t.Logf("a reconciler:\n%s", p.output.String())
			}
		}
	})
	t.Logf("replicated after %s", s.replicated(s.js, replicatedStreams))
	id, err := s.client.StoreID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.sim, err = simray.Start(t.Context(), simray.Config{JetStream: s.connect(), Etcd: etcd.Client, StoreID: id, Nodes: simray.Fleet(2+models/8, 8, 64), Heard: s.heard.add})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sim.Close)
	s.write(t.Context(), state.ServerKey("default"), fmt.Sprintf(
		"kind: Server\nmetadata: {name: default}\nspec:\n  etcd: {endpoint: %q}\n  nats: {url: \"nats://127.0.0.1:4\"}\n", etcd.URL))
	return s
}

// madeBefore makes the buckets with one replica, as an earlier version did.
func (s *trioStore) madeBefore() {
	s.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		try, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		_, err = kv.EnsureBuckets(try, s.js)
		cancel()
		if err == nil {
			return
		}
	}
	s.t.Fatal(err)
}

// write puts a spec until that is acknowledged, as people do.
func (s *trioStore) write(ctx context.Context, key state.Key, document string) {
	value := []byte("apiVersion: dynctl/v1alpha1\n" + document)
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		revision, err := s.client.PutSpec(try, key, value, kv.PutOptions{})
		cancel()
		s.acked.mu.Lock()
		if err == nil {
			s.acked.last[key] = kv.SpecEntry{Revision: revision, Value: value}
			s.acked.n++
		} else {
			s.failed++
		}
		s.acked.mu.Unlock()
		if err == nil {
			return
		}
	}
}

// declare writes one more model each time, and now and then one that is there, until ctx ends
// or there are enough.
func (s *trioStore) declare(ctx context.Context, rng *rand.Rand, enough int, every time.Duration) (models int) {
	document := func(i, note int) string {
		return fmt.Sprintf("kind: Model\nmetadata: {name: m%04d, labels: {note: \"%d\"}}\nspec: {model: acme/m%04d, servedName: m%04d, engine: mocker, resources: {gpus: 1}}\n", i, note, i, i)
	}
	for ; ctx.Err() == nil; time.Sleep(every) {
		i := models
		if models == enough || models > 0 && rng.IntN(3) == 0 {
			i = rng.IntN(models)
		} else {
			models++
		}
		s.write(ctx, state.ModelKey("default", fmt.Sprintf("m%04d", i)), document(i, s.acked.n))
	}
	return models
}

// troubled is a number of rounds in which one server after the other has some trouble, and the
// store is whole again before the next.
func (s *trioStore) troubled(rng *rand.Rand, until time.Time, atLeast int) {
	for round := 0; round < atLeast || time.Now().Before(until); round++ {
		m := s.servers[rng.IntN(len(s.servers))]
		trouble := troubles[round%len(troubles)]
		lasts := 4 * time.Second
		if round >= atLeast {
			lasts = 2*time.Second + time.Duration(rng.Int64N(int64(13*time.Second)))
		}
		trouble.begin(m)
		time.Sleep(lasts)
		trouble.ends(m)
		s.t.Logf("%s: %s for %s, whole again after %s", m.name, trouble.name, lasts.Round(100*time.Millisecond), s.replicated(s.js, replicatedStreams).Round(100*time.Millisecond))
		time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
	}
}

// TestAStoreOfThreeServers: one of three NATS servers is killed, cut off or hangs, at random,
// while specs are written and carried out. Nothing that was acknowledged is lost, all of it is
// acted on, nothing is carried out twice, and the epoch only rises. DYNCTL_TEST_TRIO is for
// how long (`make trio`), DYNCTL_TEST_SEED another run of the same.
func TestAStoreOfThreeServers(t *testing.T) {
	long := time.Duration(0)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("DYNCTL_TEST_TRIO"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("DYNCTL_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("DYNCTL_TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const enough = 400
	s := newTrioStore(t, enough)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	models := 0
	var writing sync.WaitGroup
	writing.Go(func() {
		models = s.declare(ctx, rand.New(rand.NewPCG(seed, 1)), enough, 100*time.Millisecond+long/1000)
	})
	s.troubled(rng, time.Now().Add(long), len(troubles)-1)
	cancel()
	writing.Wait()
	s.allActedOn(models)
	lost := s.acked.lost(t, s.client)
	t.Logf("%d puts acknowledged, %d not, %d models: %d specs lost", s.acked.n, s.failed, models, lost)
	if lost > 0 || s.acked.n < 10 {
		t.Errorf("%d of %d acknowledged specs are lost", lost, s.acked.n)
	}
	s.onceEach()
}

// allActedOn waits until every model is Ready at its newest revision.
func (s *trioStore) allActedOn(models int) {
	s.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		behind := s.behind()
		if len(behind) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d of %d models are not acted on: %v", len(behind), models, behind[:min(len(behind), 5)])
		}
	}
}

// behind are the models whose acknowledged revision is not what runs.
func (s *trioStore) behind() (out []string) {
	statuses, err := s.client.ListStatuses(s.t.Context())
	if err != nil {
		return []string{err.Error()}
	}
	have := map[string]state.Status{}
	for _, st := range statuses {
		have[st.Key] = st
	}
	s.acked.mu.Lock()
	defer s.acked.mu.Unlock()
	for key, want := range s.acked.last {
		st := have[key.String()]
		ready, _ := st.Condition(state.CondReady)
		if st.AcceptedRevision < want.Revision || key.Kind == state.KindModel && ready.Status != state.StatusTrue {
			out = append(out, fmt.Sprintf("%s: revision %d accepted, %d acknowledged, Ready %s %s", key, st.AcceptedRevision, want.Revision, ready.Status, ready.Message))
		}
	}
	return out
}
