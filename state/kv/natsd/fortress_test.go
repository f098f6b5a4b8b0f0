package natsd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// fortress is a store with doors, in which everything stands that somebody may be after.
type fortress struct {
	t      *testing.T
	url    string
	logins map[string]nats.Option
	// root is the reconciler's own connection.
	root *nats.Conn
	js   jetstream.JetStream
	// conns are those of the attackers.
	conns map[string]*nats.Conn
}

// say publishes as whoever may, one connection aside.
func (f *fortress) say(subject string, aside *nats.Conn) {
	for _, nc := range append(slices.Collect(maps.Values(f.conns)), f.root) {
		if nc == aside {
			continue
		}
		_ = nc.PublishRequest(subject, "_INBOX.none", nil)
		_ = nc.Flush()
	}
}

// inboxes are the prefixes of where answers go, by name.
var inboxes = map[string]string{}

func newFortress(t *testing.T, template bool) *fortress {
	t.Helper()
	f := &fortress{t: t, logins: map[string]nats.Option{}}
	var users []roles.User
	for _, u := range []roles.User{
		{Name: "admin", Role: roles.Admin},
		{Name: "publisher", Role: roles.Publisher, Servers: []string{"a", "a2"}},
		{Name: "viewer", Role: roles.Viewer},
		{Name: "reconciler", Role: roles.Reconciler},
		{Name: "agent", Role: roles.Agent, Password: "secret"},
	} {
		if u.Password != "" {
			f.logins[u.Name] = nats.UserInfo(u.Name, u.Password)
		} else {
			u.NKey, f.logins[u.Name] = pair(t)
		}
		inboxes[u.Name] = "_INBOX"
		if !roles.Of(u).Apart {
			inboxes[u.Name] = roles.InboxPrefix(u.Role)
		}
		users = append(users, u)
	}
	if template {
		f.url = external(t, users)
	} else {
		s, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Doors: natsd.NewDoors(users), Login: f.logins["reconciler"]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
		f.url = s.URL()
	}
	f.root = f.dial("reconciler")
	var err error
	if f.js, err = jetstream.New(f.root); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.EnsureBuckets(t.Context(), f.js); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), f.js); err != nil {
		t.Fatal(err)
	}
	f.furnish()
	return f
}

// external is a NATS that is not ours.
func external(t *testing.T, users []roles.User) string {
	t.Helper()
	t.Setenv(roles.PasswordVariable("agent"), "secret")
	var o server.Options
	config := roles.Template(users)
	if err := o.ProcessConfigString(config); err != nil {
		t.Fatalf("%v\n%s", err, config)
	}
	o.Port, o.JetStream, o.StoreDir, o.NoSigs, o.NoLog = -1, true, t.TempDir(), true, true
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("not ready")
	}
	return s.ClientURL()
}

// pair is a public key, and how its owner logs in.
func pair(t *testing.T) (string, nats.Option) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public, nats.Nkey(public, key.Sign)
}

func (f *fortress) dial(who string) *nats.Conn {
	f.t.Helper()
	nc, err := nats.Connect(f.url, f.logins[who], nats.CustomInboxPrefix(inboxes[who]), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		f.t.Fatalf("%s: %v", who, err)
	}
	f.t.Cleanup(nc.Close)
	return nc
}

// keys stand in the store; each is worth something to somebody.
var keys = []string{
	"dynctl_specs.server.a", "dynctl_specs.model.a.m", "dynctl_specs.server.b", "dynctl_specs.model.b.m",
	"dynctl_specs.model.a2.x.y", "dynctl_specs.confirm.a", "dynctl_specs.confirm.b", "dynctl_specs.store.id",
	"dynctl_status.model.a.m", "dynctl_status.model.b.m", "dynctl_status.store.id",
	"dynctl_observed.unit.a.u", "dynctl_observed.agent",
	"dynctl_lease.leader", "dynctl_lease.epoch", "dynctl_lease.restoring",
}

var published = []string{
	"dynctl.events.a.start.u", "dynctl.events.b.start.u", "dynctl.events.a.stop.u", "dynctl.events.a.sweep.u",
	"dynctl.events.a.unit-ready.u", "dynctl.events.b.unit-exited.u",
}

// requested are answered by somebody other than the server.
var requested = []string{
	"dynctl.reconciler.checks", "dynctl.reconciler.read", "dynctl.reconciler.read.viewer", "dynctl.reconciler.read.publisher.b",
	"dynctl.reconciler.withheld", "dynctl.reconciler.creds", "dynctl.reconciler.presence.7", "dynctl.agent.logs", "dynctl.agent.access",
}

var streams = []string{"KV_dynctl_specs", "KV_dynctl_status", "KV_dynctl_observed", "KV_dynctl_lease", events.Stream}

func (f *fortress) furnish() {
	f.t.Helper()
	for _, key := range keys {
		if _, err := f.js.Publish(f.t.Context(), "$KV."+key, []byte("secret of "+key)); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, subject := range published {
		if _, err := f.js.Publish(f.t.Context(), subject, []byte("secret of "+subject)); err != nil {
			f.t.Fatal(err)
		}
	}
	answer := func(m *nats.Msg) { _ = m.Respond([]byte(`{"answer": true}`)) }
	if _, err := f.root.Subscribe("dynctl.reconciler.>", answer); err != nil {
		f.t.Fatal(err)
	}
	agent := f.dial("agent")
	if _, err := agent.Subscribe("dynctl.agent.>", answer); err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(f.root.Flush(), agent.Flush()); err != nil {
		f.t.Fatal(err)
	}
}

// last is the last sequence of a stream.
func (f *fortress) last(stream string) uint64 {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// newest is the sequence of the newest message on a subject. It is asked for the message in
// the store: one that was read before it was stored tells another one in its headers.
func (f *fortress) newest(stream, subject string) uint64 {
	f.t.Helper()
	m, err := f.root.Request("$JS.API.STREAM.MSG.GET."+stream, fmt.Appendf(nil, `{"last_by_subj": %q}`, subject), patience)
	if err != nil {
		f.t.Fatal(err)
	}
	var reply struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil || reply.Message.Seq == 0 {
		f.t.Fatalf("%s: %s, %v", subject, m.Data, err)
	}
	return reply.Message.Seq
}
