package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state/kv/local"
	"dynctl/state/kv/natsd"
)

// A store that lets somebody in no more, or never did, says how to get in. The context that
// its reconciler has left is found by the URL, wherever that comes from.
func TestAClosedStoreSaysHowToGetIn(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	data := t.TempDir()
	creds, err := natsd.OpenCreds(filepath.Join(data, "creds"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: filepath.Join(data, "nats"), Doors: creds.Doors()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	t.Setenv(envNATSURL, server.URL())
	try := func(args ...string) (said string, code int) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
		return stdout.String() + stderr.String(), code
	}
	if said, code := try("context", "add", "plain", "--nats-url", server.URL()); code != exit.OK {
		t.Fatal(said)
	}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "models"}, "nobody is let in without a credential: "},
		{[]string{"get", "models", "--context", "plain"}, "(context plain)"},
		{[]string{"doctor"}, "dynctl creds add ROLE --out"},
		{[]string{"get", "models", "--nats-url", strings.Replace(server.URL(), "//", "//me:hush@", 1)}, "this credential is not one of this store"},
	} {
		said, code := try(row.args...)
		said = strings.Join(strings.Fields(said), " ") // doctor breaks its lines
		if !strings.Contains(said, row.want) || strings.Contains(said, "hush") || strings.Contains(said, "make up") || row.args[0] == "get" && code != exit.Unreachable {
			t.Errorf("%v: exit code %d: %s", row.args, code, said)
		}
	}
	if _, err := local.Write(server.URL(), data, creds.SeedPath(natsd.UserAdmin), ""); err != nil {
		t.Fatal(err)
	}
	// It is in: what is missing now is the store, which a reconciler would have made.
	for _, args := range [][]string{{"get", "models"}, {"get", "models", "--context", "plain"}} {
		if said, _ := try(args...); !strings.Contains(said, "no reconciler has ever run") {
			t.Errorf("%v, with what the reconciler has left: %s", args, said)
		}
	}
}
