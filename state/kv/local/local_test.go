package local

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// machine is a home with two fleets' directories.
func machine(t *testing.T) (fleet func(name string) (dataDir, seed string)) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	base := t.TempDir()
	return func(name string) (string, string) {
		dir := filepath.Join(base, name)
		seed := filepath.Join(dir, "creds", "admin.nk")
		if err := os.MkdirAll(filepath.Dir(seed), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(seed, []byte("SU"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, seed
	}
}

func path(t *testing.T, name string) string {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name+".json")
}

func TestTwoFleetsOnOneMachine(t *testing.T) {
	fleet := machine(t)
	leave := func(url, name, want string) {
		t.Helper()
		dir, seed := fleet(name)
		if got, err := Write(url, dir, seed, ""); err != nil || got != want {
			t.Errorf("%s is context %q, %v; want %q", name, got, err, want)
		}
		info, err := os.Stat(path(t, want))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", want, info.Mode(), err)
		}
	}
	leave("nats://127.0.0.1:4322", "one", "local")
	leave("nats://127.0.0.1:5322", "two", "local-5322")
	leave("nats://127.0.0.1:4322", "one", "local") // again
	for url, want := range map[string]string{
		"": "local", "nats://127.0.0.1:4322": "local", "nats://localhost:5322": "local-5322", "127.0.0.1:4322": "local", "localhost:5322": "local-5322",
		"nats://127.0.0.1:9999": "", "nats://me:secret@127.0.0.1:4322": "", "secret@127.0.0.1:4322": "",
	} {
		if name, _, _ := Find(url); name != want {
			t.Errorf("for %q found %q, want %q", url, name, want)
		}
	}
	// Whoever listens at an address now is meant by it, not who did before.
	leave("nats://127.0.0.1:4322", "after", "local")
	if _, c, _ := Find("nats://127.0.0.1:4322"); filepath.Base(filepath.Dir(filepath.Dir(c.NKeyFile))) != "after" {
		t.Errorf("found the credential %s", c.NKeyFile)
	}
	leave("nats://127.0.0.1:4322", "one", "local")
	// A fleet that is gone makes room.
	dir, _ := fleet("one")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if name, _, _ := Find(""); name != "local-5322" {
		t.Errorf("found %q", name)
	}
	leave("nats://127.0.0.1:6322", "three", "local")
}

// What a person has written is not written over, whatever its name is.
func TestContextsOfOthersStay(t *testing.T) {
	fleet := machine(t)
	dir, seed := fleet("one")
	if err := os.MkdirAll(filepath.Dir(path(t, Name)), 0o700); err != nil {
		t.Fatal(err)
	}
	theirs, _ := json.Marshal(map[string]string{"natsUrl": "nats://lab:4222", "description": "my lab"})
	for _, name := range []string{"local", "local-4322"} {
		if err := os.WriteFile(path(t, name), theirs, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := Write("nats://127.0.0.1:4322", dir, seed, ""); err == nil {
		t.Errorf("written as %q", name)
	}
	for _, name := range []string{"local", "local-4322"} {
		if data, _ := os.ReadFile(path(t, name)); string(data) != string(theirs) {
			t.Errorf("%s is %s now", name, data)
		}
	}
	if _, _, ok := Find("nats://lab:4222"); ok {
		t.Error("a person's own context is used unasked")
	}
}

// Reconcilers that start at the same time have a context each.
func TestFleetsThatStartTogether(t *testing.T) {
	fleet := machine(t)
	const n = 16
	names := make(chan string, n)
	for i := range n {
		dir, seed := fleet(fmt.Sprint(i))
		go func() {
			name, err := Write(fmt.Sprintf("nats://127.0.0.1:%d", 5000+i), dir, seed, "")
			if err != nil {
				t.Error(err)
			}
			names <- name
		}()
	}
	seen := map[string]bool{}
	for range n {
		seen[<-names] = true
	}
	if len(seen) != n {
		t.Errorf("%d fleets have the contexts %v", n, seen)
	}
	for i := range n {
		url := fmt.Sprintf("nats://127.0.0.1:%d", 5000+i)
		if _, c, ok := Find(url); !ok || filepath.Base(filepath.Dir(filepath.Dir(c.NKeyFile))) != fmt.Sprint(i) {
			t.Errorf("for %s found %+v", url, c)
		}
	}
}
