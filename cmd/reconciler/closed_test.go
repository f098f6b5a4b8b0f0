package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
)

// The store lets nobody in without a credential, also one that did before; what is in it
// stays, and the user of the machine finds it by the context alone.
func TestTheStoreIsClosedByDefault(t *testing.T) {
	data, key := t.TempDir(), state.ModelKey("default", "m")
	nobody := nats.Name("nobody")
	open := runProgram(t, data, "--store-auth=false")
	c := open.client(nobody)
	revision, err := c.PutSpec(t.Context(), key, []byte("kind: Nothing"), kv.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	open.kill()

	closed := runProgram(t, data)
	closed.client().Close()
	closed.says("dynctl on this machine has one")
	if nc, err := nats.Connect(closed.url, nobody); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("nobody is answered %v", err)
		if err == nil {
			nc.Close()
		}
	}
	t.Setenv("XDG_CONFIG_HOME", closed.config)
	c, err = kv.Connect(t.Context(), closed.url, local.Options(closed.url)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e, err := c.GetSpec(t.Context(), key); err != nil || e.Revision != revision {
		t.Errorf("revision %d is %+v now, %v", revision, e, err)
	}
	closed.kill()

	// A way back, for whoever wants it; the context is no obstacle.
	open = runProgram(t, data, "--store-auth=false")
	open.client(nobody).Close()
	open.client().Close()
}

// Where no context can be written the store is closed all the same, and the log says where
// the credentials are.
func TestWithoutAHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"none":              {"HOME=", "XDG_CONFIG_HOME="},
		"cannot be written": {"HOME=" + file, "XDG_CONFIG_HOME="},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			p := newProgram(t, os.Args[0], t.TempDir())
			p.cmd.Env = append(os.Environ(), asReconciler+"=1")
			p.start()
			p.client().Close()
			for _, text := range []string{"no context for dynctl on this machine", filepath.Join(p.data, "creds"), "XDG_CONFIG_HOME"} {
				p.says(text)
			}
		})
	}
}
