//go:build integration

package registry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// closeEtcd has an etcd let nobody in but root.
func closeEtcd(t *testing.T, e *realEtcd, password string) {
	t.Helper()
	c := e.dial()
	_, err := c.UserAdd(t.Context(), "root", password)
	_, granted := c.UserGrantRole(t.Context(), "root", "root")
	_, enabled := c.AuthEnable(t.Context())
	if err = errors.Join(err, granted, enabled); err != nil {
		t.Fatal(err)
	}
}

// TestAnEtcdThatAsksWhoWeAre: an etcd is closed while it is watched, forgets those it has let
// in when it is executed again, and takes revocations all the while.
func TestAnEtcdThatAsksWhoWeAre(t *testing.T) {
	e := startEtcd(t)
	asked := make(chan string, 100)
	r := New(Config{UnknownAfter: 20 * time.Second, Login: func(_ context.Context, server string) (Login, error) {
		asked <- server
		return Login{User: "root", Password: "secret"}, nil
	}})
	defer r.Close()
	r.Set(map[string]string{"default": e.url()})
	lease := register(t, e.dial())
	awaitLeases(t, r, "registered", lease)
	if len(asked) != 0 {
		t.Error("an etcd that asks nobody was told who we are")
	}
	closeEtcd(t, e, "secret")
	e.kill()
	e.start()
	if server := <-asked; server != "default" {
		t.Errorf("the login of %q was asked for", server)
	}
	awaitLeases(t, r, "back, and closed", lease)
	if err := r.Revoke(t.Context(), "default", lease); err != nil {
		t.Error(err)
	}
	awaitLeases(t, r, "revoked")
	e.kill() // it forgets whom it has let in
	e.start()
	lease = register(t, e.dialAs("root", "secret"))
	awaitLeases(t, r, "let in again", lease)
}

// TestAnEtcdThatDoesNotKnowUs says why nothing is known.
func TestAnEtcdThatDoesNotKnowUs(t *testing.T) {
	e := startEtcd(t)
	closeEtcd(t, e, "secret")
	for want, login := range map[string]func(context.Context, string) (Login, error){
		ErrNoLogin.Error():      nil,
		"authentication failed": func(context.Context, string) (Login, error) { return Login{User: "root", Password: "wrong"}, nil },
		"no agent answers":      func(context.Context, string) (Login, error) { return Login{}, errors.New("no agent answers") },
	} {
		r := New(Config{Login: login})
		r.Set(map[string]string{"default": e.url()})
		for late := time.Now().Add(time.Minute); !strings.Contains(r.Snapshot()["default"].Err, want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(late) {
				t.Errorf("want %q in %+v", want, r.Snapshot()["default"])
				break
			}
		}
		if v := r.Snapshot()["default"]; v.Known || strings.Contains(v.Err, "wrong") {
			t.Errorf("got %+v", v)
		}
		r.Close()
	}
}
