//go:build integration

package registry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynctl/state/kv/tlstest"
)

// certified is an etcd with TLS that asks for certificates, all of one authority.
type certified struct{ *realEtcd }

// of is an etcd of that authority from its next start on; the login is of it, too.
func (c *certified) of(ca *tlstest.Authority) Login {
	c.t.Helper()
	files, cert, key := ca.Issued(c.t.TempDir())
	c.realEtcd.tls = []string{"--cert-file", files.Cert, "--key-file", files.Key, "--trusted-ca-file", files.CA, "--client-cert-auth"}
	c.trusts = ca.Client(cert, key)
	return Login{CA: ca.PEM, Cert: cert, Key: key}
}

// TestAnEtcdThatAsksForCertificates: it is listed, watched and revoked from, and certificates
// of another authority count from the next connection on.
func TestAnEtcdThatAsksForCertificates(t *testing.T) {
	e := &certified{newEtcd(t)}
	var login atomic.Pointer[Login]
	now := e.of(tlstest.New(t))
	login.Store(&now)
	e.start()
	r := New(Config{UnknownAfter: 20 * time.Second, Login: func(context.Context, string) (Login, error) { return *login.Load(), nil }})
	defer r.Close()
	r.Set(map[string]string{"default": e.url()})
	lease := register(t, e.dial())
	awaitLeases(t, r, "registered", lease)
	if err := r.Revoke(t.Context(), "default", lease); err != nil {
		t.Error(err)
	}
	awaitLeases(t, r, "revoked")
	e.kill()
	now = e.of(tlstest.New(t))
	e.start()
	lease = register(t, e.dial())
	login.Store(&now)
	awaitLeases(t, r, "let in by the new authority's", lease)
}

// TestAnEtcdThatIsNotTrusted says why nothing is known, and what to do.
func TestAnEtcdThatIsNotTrusted(t *testing.T) {
	e := &certified{newEtcd(t)}
	right := e.of(tlstest.New(t))
	e.start()
	other := (&certified{newEtcd(t)}).of(tlstest.New(t))
	told := func(l Login, err error) func(context.Context, string) (Login, error) {
		return func(context.Context, string) (Login, error) { return l, err }
	}
	for want, login := range map[string]func(context.Context, string) (Login, error){
		"set ETCD_AUTH_CA":                               nil,
		"no agent answers":                               told(Login{}, errors.New("no agent answers")),
		"unknown authority":                              told(other, nil),
		"certificate required":                           told(Login{CA: right.CA}, nil),
		"ETCD_AUTH_CA of the frontend holds no":          told(Login{CA: "/etc/ca.crt", Cert: right.Cert, Key: right.Key}, nil),
		"ETCD_AUTH_CLIENT_CERT and ETCD_AUTH_CLIENT_KEY": told(Login{CA: right.CA, Cert: right.Cert, Key: "hush"}, nil),
	} {
		r := New(Config{Login: login})
		r.Set(map[string]string{"default": e.url()})
		for late := time.Now().Add(time.Minute); !strings.Contains(r.Snapshot()["default"].Err, want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(late) {
				t.Errorf("want %q in %+v", want, r.Snapshot()["default"])
				break
			}
		}
		if v := r.Snapshot()["default"]; v.Known || strings.Contains(v.Err, "hush") || strings.Contains(v.Err, "BEGIN") {
			t.Errorf("got %+v", v)
		}
		r.Close()
	}
}
