package kv

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Who may not ask the reconcilers is told at once, and who may is answered.
func TestWhoMayNotAskIsToldAtOnce(t *testing.T) {
	allow := func(publish, subscribe string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{publish}}, Subscribe: &server.SubjectPermission{Allow: []string{subscribe}}}
	}
	srv := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Users: []*server.User{
		{Username: "all", Password: "x"},
		{Username: "asks", Password: "x", Permissions: allow(SubjectChecks, "_INBOX.>")},
		{Username: "reads", Password: "x", Permissions: allow("$JS.API.>", "_INBOX.>")},
		{Username: "deaf", Password: "x", Permissions: allow(">", "$KV.>")},
	}}))(t)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("no server")
	}
	as := func(user string) *nats.Conn {
		quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
		nc := must(nats.Connect(srv.ClientURL(), nats.UserInfo(user, "x"), quiet))(t)
		t.Cleanup(nc.Close)
		return nc
	}
	reconciler := as("all")
	must(reconciler.Subscribe(SubjectChecks, func(m *nats.Msg) { _ = m.Respond([]byte(`{"state":"ok"}`)) }))(t)
	if err := reconciler.Flush(); err != nil {
		t.Fatal(err)
	}
	for user, may := range map[string]bool{"all": true, "asks": true, "reads": false, "deaf": false} {
		t.Run(user, func(t *testing.T) {
			c := New(must(jetstream.New(as(user)))(t))
			for range 2 {
				answers, err := c.Checks(t.Context())
				if denied := errors.Is(err, nats.ErrPermissionViolation); denied == may || may && (err != nil || len(answers) != 1) {
					t.Errorf("%d answers, %v; may ask: %v", len(answers), err, may)
				}
			}
		})
	}
}
