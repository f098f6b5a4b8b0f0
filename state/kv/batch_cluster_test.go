package kv

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trio is a connection to a cluster of three servers.
func trio(t *testing.T) jetstream.JetStream {
	t.Helper()
	var routes, urls []string
	ports := make([]int, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	for i, port := range ports {
		ns, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 8 << 30, SyncAlways: true,
			Cluster: server.ClusterOpts{Name: "trio", Host: "127.0.0.1", Port: port},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		})
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
		if !ns.ReadyForConnections(20 * time.Second) {
			t.Fatal("NATS does not start")
		}
		urls = append(urls, ns.ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.ReconnectBufSize(-1))
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

// On three servers a batch is what it is on one: all or none, with revisions that follow each
// other, and one that is out of date holds up no other.
func TestBatchesOnThreeServers(t *testing.T) {
	js := trio(t)
	late := time.Now().Add(time.Minute)
	for {
		_, err := EnsureBuckets(t.Context(), js, Limits{Replicas: 3, SpecBytes: 1 << 20, StatusBytes: 64 << 20})
		if err == nil {
			break
		}
		if !Passes(err) || time.Now().After(late) {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
	}
	c := New(js)
	const n = 3 * BatchLeast
	all := someStatuses(n, nil, "0badcafe")
	revisions := revisionsOf(t, c.PutStatuses(t.Context(), all))
	stand(t, c, all, revisions)
	if batchesIn(t, js) != n {
		t.Errorf("%d of %d are of a batch", batchesIn(t, js), n)
	}
	all = someStatuses(n, revisions, "1badcafe")
	all[1].Revision--
	for i, p := range c.PutStatuses(t.Context(), all) {
		if (p.Err == nil) == (i == 1) {
			t.Errorf("status %d: %+v", i, p)
		}
	}
}
