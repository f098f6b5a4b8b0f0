package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

// TestAFullDiskIsTold: a disk that something else fills at once is told by /readyz, on
// the ops page, to dynctl and in what the planner makes of the servers, rounds go on
// meanwhile, and all of it is over by itself when there is room.
func TestAFullDiskIsTold(t *testing.T) {
	small := smallDisk(t, "96m")
	r := &rig{tb: t}
	r.dataDir = filepath.Join(small, "data")
	r.start("http://127.0.0.1:1")
	client := kv.New(r.connect())
	put := func(name string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a store that has failed does not answer
		defer cancel()
		_, err := client.PutSpec(ctx, state.ModelKey("default", name), []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: "+name+"}\nspec: {model: x/"+name+"}\n"), kv.PutOptions{})
		return err
	}
	eventually(t, "a write before", func() bool { return put("before") == nil })
	stored := func() (reason string) {
		statuses, err := client.ListStatuses(t.Context())
		if err != nil {
			return err.Error()
		}
		for _, s := range statuses {
			if c, ok := s.Condition(state.CondUpToDate); s.Kind == state.KindServer && ok {
				return c.Reason
			}
		}
		return "none"
	}
	eventually(t, "a status", func() bool { return stored() == actors.CondOK })

	filler, err := os.Create(filepath.Join(small, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<16))
	}
	// Write until something is refused.
	refused := false
	for i := 0; i < 200 && !refused; i++ {
		refused = put("while-full") != nil
	}
	if !refused {
		t.Fatal("a disk without room takes specs")
	}
	shown := func() string {
		for _, s := range r.app.snapshot.Load().result.Statuses {
			if c, ok := s.Condition(state.CondUpToDate); s.Kind == state.KindServer && ok {
				return c.Reason + " " + c.Message
			}
		}
		return ""
	}
	eventually(t, "the server's condition", func() bool {
		return strings.HasPrefix(shown(), actors.CondStoreFull+" the disk of the store is full; free space at "+r.dataDir)
	})
	verbose := func() kv.Checks {
		w := httptest.NewRecorder()
		r.app.readyz(w, httptest.NewRequest("GET", "/readyz?verbose", http.NoBody))
		var c kv.Checks
		if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	full := func(checks kv.Checks) bool {
		return slices.ContainsFunc(checks.Checks, func(c kv.Check) bool {
			return c.Name == kv.CheckDisk && c.State == checkDegraded && c.Reason == actors.CondStoreFull &&
				strings.Contains(c.Text, "nothing is stopped meanwhile") && strings.Contains(c.Text, "dynctl_specs 0.")
		})
	}
	eventually(t, "/readyz", func() bool { return full(verbose()) })
	if lines := r.app.opsInput().Degraded; !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "disk: disk of the store is full") }) {
		t.Errorf("the ops page shows %q", lines)
	}
	if answers, err := client.Checks(t.Context()); err != nil || len(answers) != 1 || !full(answers[0]) {
		t.Errorf("dynctl is told %+v, %v", answers, err)
	}
	// A store that does not answer holds no round up.
	before := *r.app.roundAt.Load()
	eventually(t, "more rounds", func() bool { return r.app.roundAt.Load().Sub(before) > 2*idleRound })

	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	if err := filler.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "specs are taken again", func() bool { return put("after") == nil })
	eventually(t, "it is over", func() bool {
		return shown() == actors.CondOK+" " && stored() == actors.CondOK && !full(verbose())
	})
}

// TestAFilledDiskIsStoredAsACondition: as long as the store takes writes, the servers'
// stored statuses tell of a disk that is all but full.
func TestAFilledDiskIsStoredAsACondition(t *testing.T) {
	small := smallDisk(t, "64m")
	r := &rig{tb: t}
	r.dataDir = filepath.Join(small, "data")
	r.start("http://127.0.0.1:1")
	client := kv.New(r.connect())
	key := state.ServerKey("default")
	if _, err := client.PutSpec(t.Context(), key, []byte("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\n"), kv.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(small, "filler")
	until := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			s, err := client.GetStatus(t.Context(), key)
			c, _ := s.Condition(state.CondUpToDate)
			return err == nil && c.Reason == want
		})
	}
	for range 2 { // it heals, and comes back
		if err := os.WriteFile(filler, make([]byte, 50<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		until(actors.CondStoreFull)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		until(actors.CondOK)
	}
}

// eventually waits for what a loaded machine may take long for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for late := time.Now().Add(rigPatience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%s: not within %s", what, rigPatience)
		}
	}
}
