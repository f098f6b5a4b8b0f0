package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
	"dynctl/state/kv/natsd"
	"dynctl/state/kv/tlstest"
	"dynctl/state/roles"
)

// storeWithTLS is a closed store whose certificate ends at some time from now.
func storeWithTLS(t *testing.T, data string, ca *tlstest.Authority, end time.Duration) (url, seed string) {
	t.Helper()
	creds, err := natsd.OpenCreds(filepath.Join(data, "creds"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: filepath.Join(data, "nats"), Doors: creds.Doors(), TLS: ca.Server(end)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	return server.URL(), creds.SeedPath(natsd.UserAdmin)
}

// A store that does not prove what it is says what to do, and is told no credential; with
// the context that its reconciler has left dynctl is in, whatever names the store.
func TestAStoreWithTLS(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	ca, data := tlstest.New(t), t.TempDir()
	authority := ca.NewFiles(t.TempDir()).CA
	url, seed := storeWithTLS(t, data, ca, time.Hour)
	ended, _ := storeWithTLS(t, t.TempDir(), ca, -time.Hour)
	plain, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Shutdown(context.WithoutCancel(t.Context())) })
	says := func(want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &out)
		if said := out.String(); !strings.Contains(said, want) || want != inside && code != exit.Unreachable || strings.Contains(said, "make up") {
			t.Errorf("%v: exit code %d: %s; want %q", args, code, said, want)
		}
	}
	add := func(name, url, ca string) {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), []string{"context", "add", name, "--nats-url", url, "--ca", ca}, strings.NewReader(""), &out, &out); code != exit.OK {
			t.Fatal(out.String())
		}
	}
	add("stranger", url, tlstest.New(t).NewFiles(t.TempDir()).CA)
	add("other-name", strings.Replace(url, "127.0.0.1", "localhost", 1), authority)
	add("ended", ended, authority)
	add("plain", plain.URL(), authority)
	says("--ca FILE", "get", "models", "--nats-url", url)
	says("--ca FILE", "get", "models", "--nats-url", strings.Replace(url, "tls://", "nats://", 1))
	says("does not hold the authority", "get", "models", "--context", "stranger")
	says("under a name that its certificate has", "get", "models", "--context", "other-name")
	says("its certificate has ended", "get", "models", "--context", "ended")
	says("it does not speak TLS", "get", "models", "--context", "plain")

	asRoot := []string{"creds", "ls", "--nats-url", url, "--data-dir", data}
	says("--ca FILE", asRoot...)
	if err := local.LeaveAuthorities(data, authority); err != nil {
		t.Fatal(err)
	}
	says(inside, asRoot...)

	if _, err := local.Write(url, data, seed, authority); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"get", "models"}, {"get", "models", "--nats-url", url}, {"get", "models", "--nats-url", strings.Replace(url, "tls://", "nats://", 1)},
	} {
		says(inside, args...)
	}

	c, err := kv.Connect(t.Context(), strings.Replace(url, "tls://", "nats://", 1), local.Options(url)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if secret, err := makeSecret(&roles.User{Name: "me"}, c, true); err != nil || !strings.HasPrefix(secret, "tls://me:") {
		t.Errorf("the URL of a user with a password is %q, %v", secret, err)
	}
}

// inside is part of what is said to whoever was let in: what is missing then is what a
// reconciler would have made, or would answer.
const inside = "no reconciler "
