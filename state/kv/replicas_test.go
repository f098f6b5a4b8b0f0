package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/natsdtest"
)

// TestOneServerHoldsNoReplicas: what a single server cannot do is refused with what to do, and
// is not waited for.
func TestOneServerHoldsNoReplicas(t *testing.T) {
	_, js := natsdtest.Connect(t)
	_, err := EnsureBuckets(t.Context(), js, Limits{Replicas: 3})
	if !errors.Is(err, ErrFewServers) || Passes(err) || !strings.Contains(err.Error(), "pass --replicas 1, or the URLs of a cluster") {
		t.Errorf("%v", err)
	}
	if _, err := EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	// What is there stays as it is: it is told, and goes on.
	if _, err := EnsureBuckets(t.Context(), js, Limits{Replicas: 3}); err != nil {
		t.Errorf("buckets that are there: %v", err)
	}
	if err := Raise(t.Context(), js, 3, append(Buckets(), "NONE")...); !errors.Is(err, ErrFewServers) {
		t.Errorf("raised: %v", err)
	}
	sizes, err := Sizes(t.Context(), js)
	if err != nil || len(sizes) != 4 || sizes[0].Replicas != 1 {
		t.Errorf("%+v, %v", sizes, err)
	}
}

// TestAServerWithoutTheStoreIsLeft: it answers, and the store is not reached through it; another
// one is tried, and stayed with where the store is reached.
func TestAServerWithoutTheStoreIsLeft(t *testing.T) {
	without, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	without.Start()
	t.Cleanup(func() { without.Shutdown(); without.WaitForShutdown() })
	with := natsdtest.Start(t)
	nc, err := nats.Connect(without.ClientURL()+","+with.URL(), nats.DontRandomize(), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	moves := make(chan string, 10)
	var keeping sync.WaitGroup
	keeping.Go(func() { keepReaching(ctx, js, 2*reachEvery, func(server string) { moves <- server }) })
	defer keeping.Wait()
	defer cancel()
	select {
	case left := <-moves:
		if left != without.ClientURL() {
			t.Errorf("%s was left, want %s", left, without.ClientURL())
		}
	case <-time.After(time.Minute):
		t.Fatal("the server is not left within a minute")
	}
	for {
		if _, err = EnsureBuckets(t.Context(), js); err == nil {
			break
		}
		if nc.IsConnected() && nc.ConnectedUrl() != with.URL() {
			t.Fatalf("connected to %s: %v", nc.ConnectedUrl(), err)
		}
	}
	time.Sleep(3 * reachEvery)
	if len(moves) > 0 || nc.ConnectedUrl() != with.URL() {
		t.Errorf("%d more moves, connected to %s", len(moves), nc.ConnectedUrl())
	}
}

// TestWhatPasses: what NATS answers between two leaders passes, what is wrong does not.
func TestWhatPasses(t *testing.T) {
	api := func(code jetstream.ErrorCode) error {
		return fmt.Errorf("x: %w", &jetstream.APIError{ErrorCode: code})
	}
	for err, want := range map[error]bool{
		tooFew("x", 3, api(codeNoPeers)): true, api(codeNotAvailable): true, context.DeadlineExceeded: true, wrap("x", errors.New("i/o timeout")): true,
		tooFew("x", 3, api(codeNotClustered)): false, api(codeNoStorage): false, wrap("x", jetstream.ErrStreamNotFound): false,
	} {
		if Passes(err) != want {
			t.Errorf("%v passes: %v, want %v", err, !want, want)
		}
	}
}

// TestAStoreThatIsNotThere is not taken for one without a leader.
func TestAStoreThatIsNotThere(t *testing.T) {
	_, js := natsdtest.Connect(t)
	_, err := put(t.Context(), js, write{bucket: BucketSpecs, key: "model.default.m", value: []byte("x")})
	if err = wrap("put", err); !errors.Is(err, ErrNotAStore) || errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}
