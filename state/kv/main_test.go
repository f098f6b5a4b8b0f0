package kv

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd"
	"dynctl/state/kv/natsd/leaktest"

	"dynctl/state"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		writeBatchesUntilKilled(dir)
	}
	leaktest.Main(m)
}

// store is a real server in a directory of its own, which can be restarted.
type store struct {
	t    *testing.T
	opts natsd.Options
	srv  *natsd.Server
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{t: t, opts: natsd.Options{StoreDir: t.TempDir(), Port: -1}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *store) start() {
	s.t.Helper()
	srv, err := natsd.Start(s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.srv = srv
	s.opts.Port = srv.Port() // a restart comes back where clients look for it
}

func (s *store) stop() {
	s.t.Helper()
	if s.srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.srv.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	s.srv = nil
}

// restart ends the server and starts it on the same directory and port, and
// returns once the connections are back.
func (s *store) restart(conns ...jetstream.JetStream) {
	s.t.Helper()
	var back []chan nats.Status
	for _, js := range conns {
		back = append(back, js.Conn().StatusChanged(nats.CONNECTED))
	}
	s.stop()
	s.start()
	for i, c := range back {
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			s.t.Fatal("no reconnect within 10 s")
		}
		conns[i].Conn().RemoveStatusListener(c)
	}
}

// dial makes a TCP connection that outlives restarts of the server.
func (s *store) dial() jetstream.JetStream {
	s.t.Helper()
	nc, err := nats.Connect(s.srv.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// ready is a connection to a store that has its buckets.
func (s *store) ready() jetstream.JetStream {
	s.t.Helper()
	js := s.dial()
	if _, err := EnsureBuckets(s.t.Context(), js); err != nil {
		s.t.Fatal(err)
	}
	return js
}

// watched are views with the channel that they kick.
type watched struct {
	*Views
	t    *testing.T
	kick chan struct{}
}

func watch(t *testing.T, js jetstream.JetStream) *watched {
	t.Helper()
	w := &watched{t: t, kick: make(chan struct{}, 1)}
	v, err := Watch(t.Context(), js, func() {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Views = v
	t.Cleanup(v.Close)
	return w
}

// until waits for a condition, looking at it after every kick: a change that
// does not kick fails the test.
func (w *watched) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-w.kick:
		case <-deadline.C:
			w.t.Fatalf("still waiting for: %s (health %+v)", what, w.Health())
		}
	}
}

func (w *watched) synced() {
	w.t.Helper()
	w.until("all buckets loaded", func() bool {
		_, statuses := w.Statuses()
		return w.Specs().Synced && statuses && w.Health().Connected
	})
}

// statuses are those that are in force, by key.
func (w *watched) statuses() (map[string]state.Status, bool) {
	list, synced := w.Statuses()
	out := map[string]state.Status{}
	for _, s := range list {
		out[s.Key] = *s.Status
	}
	return out, synced
}

func (w *watched) toRewrite(key string) bool {
	list, _ := w.Statuses()
	return slices.ContainsFunc(list, func(s Stored) bool { return s.Key == key && s.Rewrite })
}

func (w *watched) spec(key string) (SpecEntry, bool) {
	for _, e := range w.Specs().Entries {
		if e.Key == key {
			return *e, true
		}
	}
	return SpecEntry{}, false
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
