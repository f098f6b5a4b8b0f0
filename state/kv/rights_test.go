package kv

import (
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/roles"
)

func TestMissingRights(t *testing.T) {
	admin := roles.Of(roles.User{Role: roles.Admin})
	perm := func(g roles.Grant, without string) *server.Permissions {
		lacks := func(s string) bool { return s == without }
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: slices.DeleteFunc(slices.Clone(g.Publish), lacks), Deny: g.NotPublish},
			Subscribe: &server.SubjectPermission{Allow: slices.DeleteFunc(slices.Clone(g.Subscribe), lacks)},
		}
	}
	denied := perm(admin, "")
	denied.Publish.Deny = append(slices.Clone(denied.Publish.Deny), "$JS.>")
	s, err := server.NewServer(&server.Options{Port: -1, NoSigs: true, NoLog: true, Users: []*server.User{
		{Username: "all", Password: "x", Permissions: perm(admin, "")},
		{Username: "any", Password: "x"},
		{Username: "one", Password: "x", Permissions: perm(admin, "$JS.API.>")},
		{Username: "ear", Password: "x", Permissions: perm(admin, "$KV.>")},
		{Username: "denied", Password: "x", Permissions: denied},
		{Username: "mute", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	for user, want := range map[string][]string{
		"all": nil, "any": nil, "one": {"publish $JS.API.>"}, "ear": {"subscribe $KV.>"}, "mute": nil,
		"denied": {"publish $JS.API.>", "publish $JS.ACK.>", "publish $JS.FC.>", "publish $JS.SNAPSHOT.>"},
	} {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "x"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if got := New(must(jetstream.New(nc))(t)).MissingRights(t.Context(), roles.User{Role: roles.Admin}); !slices.Equal(got, want) {
			t.Errorf("%s lacks %q, want %q", user, got, want)
		}
	}
}
