//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TestExternalEtcdAndNATS: with both external, the infra unit is a frontend alone,
// and the addresses reach the processes as they are written.
func TestExternalEtcdAndNATS(t *testing.T) {
	e := Shared(t)
	ports := freePorts(t, 3)
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	e.spawn(t, "etcd", "--data-dir", t.TempDir(), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	accepts(t, ports[0])
	nats := e.natsServer(t, ports[2])
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	s := e.NewServer(t, fmt.Sprintf("etcd: {endpoint: %q}", etcd), fmt.Sprintf("nats: {url: %q}", nats), "dynamoNamespace: outside")
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	infra, worker := s.Observed("infra"), s.Workers("plain", "")[0]
	if len(infra.Actors) != 1 || !strings.HasSuffix(infra.Actors[0].Name, "_Dynamo_Frontend") || infra.Actors[0].Bundle != 2 {
		t.Errorf("infra has the actors %+v, want the frontend alone, in its bundle", infra.Actors)
	}
	if len(infra.PlacementGroup.Bundles) != 3 {
		t.Errorf("infra has the bundles %v, want 3 as ever", infra.PlacementGroup.Bundles)
	}
	for _, pid := range []int{infra.Actors[0].ChildPID, worker.ChildPID} {
		if env := environment(t, pid); env["ETCD_ENDPOINTS"] != etcd || env["NATS_SERVER"] != nats {
			t.Errorf("ETCD_ENDPOINTS=%q NATS_SERVER=%q, want %q and %q", env["ETCD_ENDPOINTS"], env["NATS_SERVER"], etcd, nats)
		}
	}
	if a := s.Chat("plain", "hello", 4); a.DecodeWorker != worker.Lease {
		t.Errorf("served by %d, want the lease %d", a.DecodeWorker, worker.Lease)
	}
	namespace := "outside-" + s.UnitsOf("plain", "")[0].Generation
	if keys := keysIn(t, client, "v1/mdc/"+namespace+"/"); len(keys) != 1 {
		t.Errorf("model cards of %s in etcd: %v, want one", namespace, keys)
	}
	s.Delete("model/plain")
	s.Wait("plain", "deleted", time.Minute)
	for _, prefix := range []string{"v1/mdc/", "v1/instances/"} {
		if keys := keysIn(t, client, prefix); slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, namespace) }) {
			t.Errorf("etcd still has %v", keys)
		}
	}
}

func keysIn(t *testing.T, client *clientv3.Client, prefix string) []string {
	t.Helper()
	r, err := client.Get(t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, kv := range r.Kvs {
		out = append(out, string(kv.Key))
	}
	return out
}
