package events

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// broker is a real NATS server that can be restarted on its data and port.
type broker struct {
	t    *testing.T
	dir  string
	port int
	ns   *server.Server
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), port: -1}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.dir, NoSigs: true, NoLog: true,
		// The 1 GiB that the stream reserves must not depend on the machine's disk.
		JetStreamMaxStore: 2 << 30,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("NATS does not start")
	}
	b.ns = ns
	b.port = ns.Addr().(*net.TCPAddr).Port
}

func (b *broker) stop() {
	if b.ns != nil {
		b.ns.Shutdown()
		b.ns.WaitForShutdown()
		b.ns = nil
	}
}

func (b *broker) dial() jetstream.JetStream {
	b.t.Helper()
	nc, err := nats.Connect(b.ns.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// ready is a connection to a broker that has the stream.
func (b *broker) ready() jetstream.JetStream {
	b.t.Helper()
	js := b.dial()
	if err := EnsureStream(b.t.Context(), js); err != nil {
		b.t.Fatal(err)
	}
	return js
}

func testEvent(i int) Event {
	return Event{
		ID: fmt.Sprintf("e%d", i), Type: TypeUnitReady, Source: "dynctl/agent/1",
		Object: fmt.Sprintf("u%d", i), Time: time.Date(2026, 11, 1, 12, 0, 0, i, time.UTC),
		Data: Data{Server: "default", Model: "m", Unit: fmt.Sprintf("u%d", i), Epoch: 1},
	}
}

// stored are the ids in the stream, in order.
func stored(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ids []string
	for e, err := range Tail(ctx, js, TailOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// inOrder says that ids are e0 to e(n-1).
func inOrder(t *testing.T, ids []string, n int) {
	t.Helper()
	if len(ids) != n {
		t.Fatalf("%d events are stored, want %d", len(ids), n)
	}
	for i, id := range ids {
		if id != fmt.Sprintf("e%d", i) {
			t.Fatalf("event %d is %s", i, id)
		}
	}
}
