//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dynctl/state/kv/tlstest"
)

// TestExternalEtcdAndNATS: with both external, the infra unit is a frontend alone,
// and the addresses reach the processes as they are written.
func TestExternalEtcdAndNATS(t *testing.T) {
	e := Shared(t)
	etcd := e.etcdServer(t, "http")
	nats := e.natsServer(t, freePorts(t, 1)[0])
	client := clientOf(t, etcd, "", "")

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

// etcdServer is the address of an etcd that dynctl knows nothing of.
func (e *Env) etcdServer(t *testing.T, scheme string, more ...string) string {
	t.Helper()
	ports := freePorts(t, 2)
	etcd, peer := fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	e.spawn(t, "etcd", append([]string{"--data-dir", t.TempDir(), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer}, more...)...)
	accepts(t, ports[0])
	return etcd
}

func clientOf(t *testing.T, etcd, user, password string) *clientv3.Client {
	t.Helper()
	return clientWith(t, clientv3.Config{Endpoints: []string{etcd}, Username: user, Password: password})
}

func clientWith(t *testing.T, c clientv3.Config) *clientv3.Client {
	t.Helper()
	c.DialTimeout, c.Logger = 20*time.Second, zap.NewNop()
	client, err := clientv3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestExternalEtcdWithAPassword: the variables by which the processes of a server log in to an
// etcd of somebody's own let the reconciler in, too, as a user with no more than Dynamo's keys.
func TestExternalEtcdWithAPassword(t *testing.T) {
	e := Shared(t)
	etcd := e.etcdServer(t, "http")
	const user, password = "dynamo", "a secret of the etcd that is not ours"
	root := clientOf(t, etcd, "", "")
	_, a := root.UserAdd(t.Context(), "root", "of the owner")
	_, b := root.UserGrantRole(t.Context(), "root", "root")
	_, c := root.RoleAdd(t.Context(), "dynamo")
	_, d := root.RoleGrantPermission(t.Context(), "dynamo", "v1/", "v10", clientv3.PermissionType(clientv3.PermReadWrite))
	_, f := root.UserAdd(t.Context(), user, password)
	_, g := root.UserGrantRole(t.Context(), user, "dynamo")
	_, h := root.AuthEnable(t.Context())
	if err := errors.Join(a, b, c, d, f, g, h); err != nil {
		t.Fatal(err)
	}

	s := e.NewServer(t, fmt.Sprintf("etcd: {endpoint: %q}", etcd), "dynamoNamespace: asked",
		fmt.Sprintf("env: {ETCD_AUTH_USERNAME: %q, ETCD_AUTH_PASSWORD: %q}", user, password))
	s.healsWith(clientOf(t, etcd, user, password))
}

// healsWith has a worker killed, and wants its lease revoked in that etcd and requests
// answered again.
func (s *Server) healsWith(etcd *clientv3.Client) {
	s.t.Helper()
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	worker := s.Workers("plain", "")[0]
	if err := syscall.Kill(worker.ChildPID, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	Eventually(s.t, 20*time.Second, "the lease of the dead worker is revoked", func() bool {
		left, err := etcd.TimeToLive(s.t.Context(), clientv3.LeaseID(worker.Lease))
		return err == nil && left.TTL < 0
	})
	s.Wait("plain", "Ready", readyIn)
	s.Chat("plain", "hello", 4)
}

// TestExternalEtcdWithCertificates: the same for one that speaks TLS, is known to an authority
// of its own, and asks for a certificate.
func TestExternalEtcdWithCertificates(t *testing.T) {
	e := Shared(t)
	ca := tlstest.New(t)
	files, cert, key := ca.Issued(t.TempDir())
	etcd := e.etcdServer(t, "https", "--cert-file", files.Cert, "--key-file", files.Key, "--trusted-ca-file", files.CA, "--client-cert-auth")
	s := e.NewServer(t, fmt.Sprintf("etcd: {endpoint: %q}", etcd), "dynamoNamespace: certified",
		fmt.Sprintf("env: {ETCD_AUTH_CA: %q, ETCD_AUTH_CLIENT_CERT: %q, ETCD_AUTH_CLIENT_KEY: %q}", ca.PEM, cert, key))
	s.healsWith(clientWith(t, clientv3.Config{Endpoints: []string{etcd}, TLS: ca.Client(cert, key)}))
	s.Delete("model/plain")
	s.Wait("plain", "deleted", time.Minute)
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
