package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// closedStore is one that was just started, with its admin.
func closedStore(t *testing.T) (*rig, *kv.Client) {
	t.Helper()
	r := &rig{tb: t, storeAuth: true}
	r.start("http://127.0.0.1:1")
	return r, clientOf(t, r, seedOf(t, r.app.creds.SeedPath(natsd.UserAdmin)))
}

// A closed store through its reconciler: what a viewer and a publisher of another server
// read of a model.
func TestAClosedStore(t *testing.T) {
	r, admin := closedStore(t)
	if nc, err := nats.Connect(r.app.natsURL()); err == nil {
		nc.Close()
		t.Fatal("somebody without a credential is let in")
	}
	spec := []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m, server: a}\nspec: {model: x, engine: mocker, env: {KEY: hush, FILE: {fromFile: /run/secrets/x}}}\n")
	if _, err := admin.PutSpec(t.Context(), state.ModelKey("a", "m"), spec, kv.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, u := range []roles.User{
		{Name: "wall", Role: roles.Viewer, Password: "x"}, {Name: "ci", Role: roles.Publisher, Servers: []string{"b"}, Password: "x"},
	} {
		if err := admin.AddCreds(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	wall, ci := clientOf(t, r, nats.UserInfo("wall", "x")), clientOf(t, r, nats.UserInfo("ci", "x"))
	awaitEvent(t, wall, events.TypeSpecAccepted)
	if hasEvent(t, ci, events.TypeSpecAccepted) {
		t.Error("a publisher reads events of servers that are not its own")
	}
	seen, err := wall.GetSpec(t.Context(), state.ModelKey("a", "m"))
	if text := string(seen.Value); err != nil || strings.Contains(text, "hush") || !strings.Contains(text, "/run/secrets/x") || !strings.Contains(text, `"KEY"`) {
		t.Errorf("the viewer reads %s, %v", seen.Value, err)
	}
	if s, err := wall.GetStatus(t.Context(), state.ModelKey("a", "m")); err != nil || strings.Contains(string(s.AcceptedSpec), "hush") || s.Template != nil || len(s.Conditions) == 0 {
		t.Errorf("the viewer reads the status %+v, %v", s, err)
	}
}

// A viewer follows events as they come, though it can make no consumer.
func TestAViewerFollows(t *testing.T) {
	r, admin := closedStore(t)
	if err := admin.AddCreds(t.Context(), roles.User{Name: "wall", Role: roles.Viewer, Password: "x"}); err != nil {
		t.Fatal(err)
	}
	wall := clientOf(t, r, nats.UserInfo("wall", "x"))
	ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
	defer cancel()
	o := events.TailOptions{Follow: true, Types: []string{events.TypeLeaderElected, events.TypeSpecRejected}}
	for e, err := range events.Tail(ctx, wall.JetStream(), o) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == events.TypeSpecRejected {
			return
		}
		if _, err := admin.PutSpec(t.Context(), state.ModelKey("a", "m"), []byte("kind: Nothing"), kv.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("it ended")
}

// Who is let in to a closed store, and by whom.
func TestCredsThroughTheReconciler(t *testing.T) {
	r, admin := closedStore(t)
	ci := roles.User{Name: "ci", Role: roles.Publisher, Servers: []string{"b"}, Password: "x"}
	if err := admin.AddCreds(t.Context(), ci); err != nil {
		t.Fatal(err)
	}
	if err := clientOf(t, r, nats.UserInfo("ci", "x")).AddCreds(t.Context(), roles.User{Name: "x", Role: roles.Admin, Password: "x"}); err == nil {
		t.Error("a publisher makes an admin")
	}
	if err := admin.RemoveCreds(t.Context(), "nobody"); !errors.Is(err, kv.ErrNotFound) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("removed: %v", err)
	}
	if err := admin.AddCreds(t.Context(), roles.User{Name: "y", Role: roles.Publisher, Password: "x"}); !errors.Is(err, kv.ErrRefused) || !strings.Contains(err.Error(), "--server") {
		t.Errorf("a publisher of no server: %v", err)
	}
	if err := admin.RemoveCreds(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if users, err := admin.Creds(t.Context()); err != nil || len(users) != 3 {
		t.Errorf("%+v, %v", users, err)
	}
	if _, creds := r.app.agentCreds(); creds["user"] != natsd.UserAgent || creds["password"] == "" || creds["inboxPrefix"] != roles.InboxPrefix(roles.Agent) {
		t.Errorf("the agent is given %v", creds)
	}
	if _, _, checks := r.readyzOf(); checks[kv.CheckDoors].Reason != "" {
		t.Errorf("it is told as %+v", checks[kv.CheckDoors])
	}
}

func awaitEvent(t *testing.T, c *kv.Client, typ string) {
	t.Helper()
	late := time.After(rigPatience)
	for !hasEvent(t, c, typ) {
		select {
		case <-late:
			t.Fatalf("no %s is ever read", typ)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func hasEvent(t *testing.T, c *kv.Client, typ string) bool {
	t.Helper()
	for e, err := range events.Tail(t.Context(), c.JetStream(), events.TailOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if events.IsCommand(e.Type) {
			t.Errorf("a command is told: %+v", e)
		}
		if e.Type == typ {
			return true
		}
	}
	return false
}

func seedOf(t *testing.T, path string) nats.Option {
	t.Helper()
	o, err := nats.NkeyOptionFromSeed(path)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func clientOf(t *testing.T, r *rig, login nats.Option) *kv.Client {
	t.Helper()
	c, err := kv.Connect(t.Context(), r.app.natsURL(), login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An open store is told: as a warning where others than this machine reach it.
func TestAnOpenStoreIsTold(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:-1": checkOK, "0.0.0.0:-1": checkDegraded} {
		s, err := natsd.Start(natsd.Options{Host: strings.TrimSuffix(listen, ":-1"), Port: -1, StoreDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
		c := checkDoors(&App{natsd: s}, nil)
		if c.State != want || c.Reason != kv.ReasonStoreOpen || !strings.Contains(c.Text, "--store-auth") {
			t.Errorf("on %s: %+v", listen, c)
		}
	}
	a := &App{cfg: Config{NATSURL: "nats://me:hush@store.example:4222"}}
	if c := checkDoors(a, nil); c.State != checkOK {
		t.Errorf("a closed one: %+v", c)
	}
	a.open.Store(true)
	if c := checkDoors(a, nil); c.State != checkDegraded || strings.Contains(c.Text, "hush") || !strings.Contains(c.Text, "creds template") {
		t.Errorf("%+v", c)
	}
}

// Whether an external store lets everybody in is found out by trying.
func TestOpenIsFoundOut(t *testing.T) {
	for name, password := range map[string]string{"open": "", "closed": "x"} {
		s, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Username: password, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
		c, err := kv.Connect(t.Context(), s.URL(), nats.UserInfo(password, password))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if kv.Open(t.Context(), s.URL()) {
			t.Errorf("%s: a NATS without a store counts as an open store", name)
		}
		if _, err := kv.EnsureBuckets(t.Context(), c.JetStream()); err != nil {
			t.Fatal(err)
		}
		if got := kv.Open(t.Context(), s.URL()); got != (password == "") {
			t.Errorf("%s: open is %v", name, got)
		}
	}
}

// What a viewer sees of a document that nobody foresaw holds no value of an environment.
func TestForViewers(t *testing.T) {
	for _, row := range []struct{ bucket, value, want string }{
		{kv.BucketStatus, `{"roles":{"a":{"lastExit":{"code":1,"logTail":"hush","cause":"hush"}}},"template":{"x":"hush"}}`, `{"roles":{"a":{"lastExit":{"code":1}}}}`},
		{kv.BucketStatus, `{"acceptedSpec":{"spec":{"runtimeEnv":{"env_vars":{"A":"hush"}},"decode":{"env":{"B":["hush"]}}}}}`,
			`{"acceptedSpec":{"spec":{"decode":{"env":{"B":"hidden"}},"runtimeEnv":{"env_vars":{"A":"hidden"}}}}}`},
		{kv.BucketStatus, `{"env":"hush"}`, `{"env":null}`},
		{kv.BucketStatus, `hush`, ``},
		{kv.BucketSpecs, "kind: Nothing\nenv: {A: hush}", ``},
		{kv.BucketSpecs, "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: a}\nspec: {env: {A: hush}}\n",
			`{"apiVersion":"dynctl/v1alpha1","kind":"Server","metadata":{"name":"a"},"spec":{"env":{"A":"hidden"}}}`},
	} {
		if got := string(forViewers(row.bucket, []byte(row.value))); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.value, got, row.want)
		}
	}
}

// The context that is left for this machine opens the store.
func TestTheContextOfThisMachine(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	r := &rig{tb: t, storeAuth: true}
	r.start("http://127.0.0.1:1")
	r.app.leaveContext()
	data, err := os.ReadFile(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "dynctl", "contexts", "local.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ NATSURL, NKeyFile string }
	if err := json.Unmarshal(data, &c); err != nil || c.NATSURL != r.app.natsURL() || !filepath.IsAbs(c.NKeyFile) {
		t.Errorf("%s, %v", data, err)
	}
	if err := clientOf(t, r, seedOf(t, c.NKeyFile)).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
