package docs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// doors are a NATS as the reconciler runs it, which lets nobody in without a credential.
type doors struct {
	server *natsd.Server
	creds  *natsd.Creds
}

func startDoors(t *testing.T) doors {
	t.Helper()
	creds, err := natsd.OpenCreds(filepath.Join(t.TempDir(), "creds"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Log: log, Doors: creds.Doors()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return doors{server, creds}
}

// agent is a connection with the agent's rights.
func (d doors) agent(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(d.server.URL(), nats.UserInfo(natsd.UserAgent, d.creds.AgentPassword()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// answer adds and removes users as the reconciler does.
func (d doors) answer(nc *nats.Conn) error {
	_, err := nc.Subscribe(roles.SubjectCreds, func(m *nats.Msg) {
		var r struct {
			Add    *roles.User `json:"add"`
			Remove string      `json:"remove"`
		}
		err := json.Unmarshal(m.Data, &r)
		if err == nil && r.Add != nil {
			err = d.creds.Add(*r.Add)
		}
		if err == nil && r.Remove != "" {
			err = d.creds.Remove(r.Remove)
		}
		reply := kv.CredsReply{Users: d.creds.Users()}
		if err != nil {
			reply.Error = err.Error()
		}
		if data, err := json.Marshal(reply); err == nil {
			_ = m.Respond(data) // whoever asked asks again
		}
	})
	return err
}

// leaveContext leaves what the reconciler leaves for the user of its machine.
func (d doors) leaveContext(t *testing.T, config string) {
	t.Helper()
	dir := filepath.Join(config, "dynctl", "contexts")
	data := fmt.Sprintf(`{"natsUrl": %q, "description": "made by the reconciler of here", "nkeyFile": %q}`, d.server.URL(), d.creds.SeedPath(natsd.UserAdmin))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "local.json"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// urlWithPassword is what `dynctl creds add admin --password` writes.
func (d doors) urlWithPassword(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(d.server.URL())
	if err == nil {
		err = d.creds.Add(roles.User{Name: "page", Role: roles.Admin, Password: "of-this-page"})
	}
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("page", "of-this-page")
	return u.String()
}
