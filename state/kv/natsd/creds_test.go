package natsd_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

func openCreds(t *testing.T, dir string) *natsd.Creds {
	t.Helper()
	c, err := natsd.OpenCreds(dir, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Credentials are made once, for their owner alone.
func TestCredsAreMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "creds")
	first := openCreds(t, dir)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	again := openCreds(t, dir)
	if a, b := first.Users(), again.Users(); !slices.EqualFunc(a, b, func(x, y roles.User) bool { return x.Name == y.Name && x.NKey == y.NKey }) || len(a) != 3 {
		t.Errorf("%+v, then %+v", a, b)
	}
	if p := first.AgentPassword(); p != again.AgentPassword() || len(p) < 20 {
		t.Errorf("the agent's password is %q, then %q", p, again.AgentPassword())
	}
	for _, u := range first.Users() {
		if u.Password != "" && u.Password != "hidden" {
			t.Errorf("the password of %s is told", u.Name)
		}
	}
}

// A file that cannot be read is not made anew over: who is in it would be locked out.
func TestBrokenCredsStay(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users.json")
	if err := os.WriteFile(users, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := natsd.OpenCreds(dir, time.Now()); !errors.Is(err, natsd.ErrCreds) || !strings.Contains(err.Error(), users) {
		t.Errorf("got %v", err)
	}
	if data, _ := os.ReadFile(users); string(data) != "{" {
		t.Errorf("the file is %q now", data)
	}
}

// A lost seed is made again, and the one before it opens nothing any more.
func TestALostSeedIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	first := openCreds(t, dir)
	if err := os.Remove(first.SeedPath(natsd.UserAdmin)); err != nil {
		t.Fatal(err)
	}
	key := func(c *natsd.Creds) string {
		us := c.Users()
		return us[slices.IndexFunc(us, func(u roles.User) bool { return u.Name == natsd.UserAdmin })].NKey
	}
	if again := openCreds(t, dir); key(again) == key(first) || len(again.Users()) != 3 {
		t.Errorf("%+v", again.Users())
	}
}

// Whoever is added may log in at once, and whoever is removed is thrown out.
func TestUsersComeAndGo(t *testing.T) {
	creds := openCreds(t, t.TempDir())
	login, err := creds.Login()
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Doors: creds.Doors(), Login: login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	public, sign := pair(t)
	closed := make(chan struct{})
	dial := func() (*nats.Conn, error) {
		return nats.Connect(server.URL(), sign, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	}
	if _, err := dial(); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("a stranger: %v", err)
	}
	u := roles.User{Name: "ci", Role: roles.Publisher, Servers: []string{"a"}, NKey: public}
	if err := creds.Add(u); err != nil {
		t.Fatal(err)
	}
	if err := creds.Add(u); err == nil || !strings.Contains(err.Error(), "creds rm ci") {
		t.Errorf("added twice: %v", err)
	}
	nc, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := creds.Remove("ci"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("somebody who was removed stays connected")
	}
	if _, err := dial(); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("after the removal: %v", err)
	}
	for _, name := range []string{natsd.UserAdmin, natsd.UserAgent, natsd.UserReconciler, "nobody"} {
		if err := creds.Remove(name); err == nil {
			t.Errorf("%s was removed", name)
		}
	}
}

// Somebody who still has a key is let in to a store that has no doors any more.
func TestAKeyForAnOpenStore(t *testing.T) {
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	_, sign := pair(t)
	nc, err := nats.Connect(server.URL(), sign)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// Another's key, a signature that is none and an empty password open nothing.
func TestWhoIsNotLetIn(t *testing.T) {
	creds := openCreds(t, t.TempDir())
	var log lines
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Doors: creds.Doors(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	var admin string
	for _, u := range creds.Users() {
		if u.Name == natsd.UserAdmin {
			admin = u.NKey
		}
	}
	_, stranger := pair(t)
	for name, o := range map[string]nats.Option{
		"nobody":              nats.Name("x"),
		"another's signature": nats.Nkey(admin, func([]byte) ([]byte, error) { return make([]byte, 64), nil }),
		"a key unknown":       stranger,
		"an empty password":   nats.UserInfo(natsd.UserAgent, ""),
		"a wrong password":    nats.UserInfo(natsd.UserAgent, "hidden"),
		"a user with a key":   nats.UserInfo(natsd.UserAdmin, ""),
		"the key as password": nats.UserInfo(natsd.UserAdmin, admin),
		"a token":             nats.Token(creds.AgentPassword()),
	} {
		if nc, err := nats.Connect(server.URL(), o); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
			if nc != nil {
				nc.Close()
			}
		}
	}
	nc, err := nats.Connect(server.URL(), nats.UserInfo(natsd.UserAgent, creds.AgentPassword()))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	// They are told once, with what to do, and not each time that they try.
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "dynctl creds add") {
		t.Errorf("the log says %s", said)
	}
}

// lines are what was logged, by several goroutines.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
