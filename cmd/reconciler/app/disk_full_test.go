package app

import (
	"context"
	"encoding/json"
	"errors"
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

// fullDisk is a reconciler whose store lies on a small disk.
type fullDisk struct {
	*rig
	t      *testing.T
	small  string
	client *kv.Client
}

// put writes a spec; a store that has failed does not answer.
func (d *fullDisk) put(name string) error {
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
	defer cancel()
	_, err := d.client.PutSpec(ctx, state.ModelKey("default", name), []byte("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: "+name+"}\nspec: {model: x/"+name+"}\n"), kv.PutOptions{})
	return err
}

// fill takes all the room, and writes until the store refuses something.
func (d *fullDisk) fill() (room func()) {
	d.t.Helper()
	filler, err := os.Create(filepath.Join(d.small, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<16))
	}
	refused := false
	for i := 0; i < 200 && !refused; i++ {
		refused = d.put("while-full") != nil
	}
	if !refused {
		d.t.Fatal("a disk without room takes specs")
	}
	return func() {
		if err := errors.Join(os.Remove(filler.Name()), filler.Close()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// stored is the reason of the server's condition as the store has it; shown is that of
// the last round, with its message.
func (d *fullDisk) stored() string {
	statuses, err := d.client.ListStatuses(d.t.Context())
	if err != nil {
		return err.Error()
	}
	c, ok := upToDate(statuses)
	if !ok {
		return "none"
	}
	return c.Reason
}

func (d *fullDisk) shown() string {
	var shown []state.Status
	for _, s := range d.app.snapshot.Load().result.Statuses {
		shown = append(shown, *s)
	}
	c, ok := upToDate(shown)
	if !ok {
		return ""
	}
	return c.Reason + " " + c.Message
}

func upToDate(statuses []state.Status) (state.Condition, bool) {
	for _, s := range statuses {
		if c, ok := s.Condition(state.CondUpToDate); s.Kind == state.KindServer && ok {
			return c, true
		}
	}
	return state.Condition{}, false
}

// readyz is what /readyz?verbose says.
func (d *fullDisk) readyz() (c kv.Checks) {
	w := httptest.NewRecorder()
	d.app.readyz(w, httptest.NewRequest("GET", "/readyz?verbose", http.NoBody))
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// sayFull reports whether checks tell of a full disk.
func sayFull(checks kv.Checks) bool {
	return slices.ContainsFunc(checks.Checks, func(c kv.Check) bool {
		return c.Name == kv.CheckDisk && c.State == checkDegraded && c.Reason == actors.CondStoreFull && !c.Soon &&
			strings.Contains(c.Text, "nothing is stopped meanwhile") && strings.Contains(c.Text, "dynctl_specs 0.")
	})
}

// TestAFullDiskIsTold: a disk that something else fills at once is told by /readyz, on
// the ops page, to dynctl and in what the planner makes of the servers, rounds go on
// meanwhile, and all of it is over by itself when there is room.
func TestAFullDiskIsTold(t *testing.T) {
	d := &fullDisk{rig: &rig{tb: t}, t: t, small: smallDisk(t, "96m")}
	d.dataDir = filepath.Join(d.small, "data")
	d.start("http://127.0.0.1:1")
	d.client = kv.New(d.connect())
	eventually(t, "a write before", func() bool { return d.put("before") == nil })
	eventually(t, "a status", func() bool { return d.stored() == actors.CondOK })
	room := d.fill()
	eventually(t, "the server's condition", func() bool {
		return strings.HasPrefix(d.shown(), actors.CondStoreFull+" the disk of the store is full; free space at "+d.dataDir)
	})
	eventually(t, "/readyz", func() bool { return sayFull(d.readyz()) })
	if lines := d.app.opsInput().Degraded; !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "disk: disk of the store is full") }) {
		t.Errorf("the ops page shows %q", lines)
	}
	if answers, err := d.client.Checks(t.Context()); err != nil || len(answers) != 1 || !sayFull(answers[0]) {
		t.Errorf("dynctl is told %+v, %v", answers, err)
	}
	// A store that does not answer holds no round up.
	before := *d.app.roundAt.Load()
	eventually(t, "more rounds", func() bool { return d.app.roundAt.Load().Sub(before) > 2*idleRound })
	room()
	eventually(t, "specs are taken again", func() bool { return d.put("after") == nil })
	eventually(t, "it is over", func() bool {
		return d.shown() == actors.CondOK+" " && d.stored() == actors.CondOK && !sayFull(d.readyz())
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
