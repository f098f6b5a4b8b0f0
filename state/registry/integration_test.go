//go:build integration

package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dynctl/state"
)

// realEtcd is an etcd of its own, on ports that stay the same over restarts.
type realEtcd struct {
	t            *testing.T
	binary, data string
	client, peer int
	cmd          *exec.Cmd
	tls          []string    // its flags; none: it speaks none
	trusts       *tls.Config // of the test's own clients
}

func startEtcd(t *testing.T) *realEtcd {
	t.Helper()
	e := newEtcd(t)
	e.start()
	return e
}

func newEtcd(t *testing.T) *realEtcd {
	t.Helper()
	binary, err := filepath.Abs("../../bin/etcd")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("no etcd to test with (%v): run `make bin/etcd`", err)
	}
	e := &realEtcd{t: t, binary: binary, data: t.TempDir(), client: freePort(t), peer: freePort(t)}
	return e
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func (e *realEtcd) url() string {
	if len(e.tls) > 0 {
		return fmt.Sprintf("https://127.0.0.1:%d", e.client)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", e.client)
}

func (e *realEtcd) start() {
	e.t.Helper()
	peer := fmt.Sprintf("http://127.0.0.1:%d", e.peer)
	e.cmd = exec.Command(e.binary, append([]string{"--listen-client-urls", e.url(), "--advertise-client-urls", e.url(),
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default=" + peer, "--data-dir", e.data, "--log-level", "error"}, e.tls...)...)
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(e.kill)
}

func (e *realEtcd) kill() {
	_ = e.cmd.Process.Kill() // it may be dead already
	_ = e.cmd.Wait()
}

func (e *realEtcd) dial() *clientv3.Client { return e.dialAs("", "") }

func (e *realEtcd) dialAs(user, password string) *clientv3.Client {
	e.t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{e.url()}, DialTimeout: 20 * time.Second, Logger: zap.NewNop(), Username: user, Password: password, TLS: e.trusts,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = c.Close() })
	return c
}

// register does what a worker does.
func register(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	lease, err := c.Grant(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{instancePrefix, cardPrefix} {
		key := fmt.Sprintf("%scurator-1a2b3c4d/m/generate/%x", prefix, lease.ID)
		if _, err := c.Put(t.Context(), key, "{}", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return int64(lease.ID)
}

// eventually waits for a view, woken by the registry alone, and says how long it took.
func eventually(t *testing.T, r *Registry, within time.Duration, what string, holds func(state.Registrations) bool) time.Duration {
	t.Helper()
	start := time.Now()
	late := time.After(within)
	for {
		view := r.Snapshot()["default"]
		if holds(view) {
			return time.Since(start)
		}
		select {
		case <-r.Kick():
		case <-late:
			t.Fatalf("%s: not within %s: %+v", what, within, view)
		}
	}
}

// awaitLeases waits until these and no others are known to have a card.
func awaitLeases(t *testing.T, r *Registry, what string, want ...int64) {
	t.Helper()
	eventually(t, r, time.Minute, what, func(v state.Registrations) bool { return v.Known && slices.Equal(leases(v), want) })
}

func leases(view state.Registrations) []int64 {
	var out []int64
	for _, i := range view.Instances {
		if i.Card {
			out = append(out, i.Lease)
		}
	}
	return out
}

func TestRealEtcd(t *testing.T) {
	e := startEtcd(t)
	c := e.dial()
	r := New(Config{})
	defer r.Close()
	r.Set(map[string]string{"default": e.url()})
	eventually(t, r, 10*time.Second, "known", func(v state.Registrations) bool { return v.Known })

	lease := register(t, c)
	has := func(want ...int64) func(state.Registrations) bool {
		return func(v state.Registrations) bool {
			got := leases(v)
			return v.Known && fmt.Sprint(got) == fmt.Sprint(want)
		}
	}
	t.Logf("registration seen in %s", eventually(t, r, 2*time.Second, "registered", has(lease)))

	start := time.Now()
	if err := r.Revoke(t.Context(), "default", lease); err != nil {
		t.Fatal(err)
	}
	t.Logf("lease revoked in %s", time.Since(start))
	eventually(t, r, time.Second, "revoked", has())
	if err := r.Revoke(t.Context(), "default", lease); err != nil {
		t.Errorf("a lease that is gone: %v", err)
	}

	lease = register(t, c)
	eventually(t, r, 2*time.Second, "registered again", has(lease))
	e.kill()
	took := eventually(t, r, 3*time.Second, "dead etcd", func(v state.Registrations) bool { return !v.Known && v.Err != "" })
	t.Logf("death noticed in %s: %s", took, r.Snapshot()["default"].Err)
	if err := r.Revoke(t.Context(), "default", lease); err == nil {
		t.Error("a lease was revoked in a dead etcd")
	}
	e.start()
	eventually(t, r, 10*time.Second, "back with its data", has(lease))

	// Back without its data, under the same cluster id, and beyond the revision
	// that was seen before anybody looks.
	e.kill()
	if err := os.RemoveAll(e.data); err != nil {
		t.Fatal(err)
	}
	e.start()
	var last int64
	for range 10 {
		last = register(t, c)
		if _, err := c.Revoke(t.Context(), clientv3.LeaseID(last)); err != nil {
			t.Fatal(err)
		}
	}
	last = register(t, c)
	eventually(t, r, 10*time.Second, "back without its data", has(last))
}

// A gate stands in a real etcd until its lease is revoked, and no longer than GateTTL
// where nobody renews it.
func TestRealGate(t *testing.T) {
	e := startEtcd(t)
	c := e.dial()
	r := New(Config{})
	defer r.Close()
	r.Set(map[string]string{"default": e.url()})
	eventually(t, r, 10*time.Second, "known", func(v state.Registrations) bool { return v.Known })
	shut := func() int64 {
		t.Helper()
		if err := r.Shut(t.Context(), "default", Gate{ServedName: "m", Slug: "m", Namespace: "curator-1a2b3c4d", Component: "m_prefill"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, r, 2*time.Second, "a gate", func(v state.Registrations) bool { return len(v.Gates) == 1 })
		return r.Snapshot()["default"].Gates[0].Lease
	}
	open := func(v state.Registrations) bool { return v.Known && len(v.Gates) == 0 }
	overtaken := Gate{ServedName: "m", Slug: "m", Namespace: "curator-5e6f7a8b", Component: "m_prefill", Seen: r.Snapshot()["default"].Revision}
	if _, err := c.Put(t.Context(), "v1/mdc/curator-5e6f7a8b/m_decode/generate/b1", "{}"); err != nil {
		t.Fatal(err)
	}
	if err := r.Shut(t.Context(), "default", overtaken); !errors.Is(err, ErrOvertaken) {
		t.Errorf("behind what has registered: %v", err)
	}
	lease := shut()
	if err := r.Revoke(t.Context(), "default", lease); err != nil {
		t.Fatal(err)
	}
	t.Logf("lifted in %s", eventually(t, r, 2*time.Second, "lifted", open))
	if err := r.Renew(t.Context(), "default", lease); err == nil {
		t.Error("the lease of a gate that is gone was renewed")
	}
	lease = shut()
	left, err := c.TimeToLive(t.Context(), clientv3.LeaseID(lease))
	if err != nil || left.GrantedTTL != int64(state.GateTTL/time.Second) {
		t.Fatalf("the gate lasts %+v, %v", left, err)
	}
	time.Sleep(3 * time.Second)
	if err := r.Renew(t.Context(), "default", lease); err != nil {
		t.Fatal(err)
	}
	if left, err = c.TimeToLive(t.Context(), clientv3.LeaseID(lease)); err != nil || left.TTL < left.GrantedTTL-1 {
		t.Errorf("renewed, it lasts %+v, %v", left, err)
	}
	t.Logf("gone by itself after %s", eventually(t, r, state.GateTTL+5*time.Second, "gone by itself", open))
}
