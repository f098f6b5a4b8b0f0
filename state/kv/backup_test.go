package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// content is all that a backup has to bring back: every revision of both buckets
// with its number, headers and time, and the store id.
type content struct {
	ID      string
	Entries map[string][]string
}

func contentOf(t *testing.T, js jetstream.JetStream) content {
	t.Helper()
	out := content{Entries: map[string][]string{}}
	var err error
	if out.ID, err = New(js).StoreID(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range backedUp {
		entries, err := scan(t.Context(), js, bucket, ">", true)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out.Entries[bucket] = append(out.Entries[bucket], fmt.Sprintf("%s@%d %s %v %q %v", e.key, e.rev, e.at, e.deleted, e.value, e.header))
		}
	}
	return out
}

// used is a store with specs of several revisions, a deleted one, and statuses.
func used(t *testing.T, s *store) jetstream.JetStream {
	t.Helper()
	js := s.ready()
	c := New(js)
	for i := range 30 {
		key := state.ModelKey("default", fmt.Sprintf("m%d", i%10))
		rev, err := c.PutSpec(t.Context(), key, bytes.Repeat([]byte{byte('a' + i)}, 100_000), PutOptions{Author: "me", Comment: "why"})
		if err != nil {
			t.Fatal(err)
		}
		old, err := c.GetStatus(t.Context(), key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		st := state.Status{Key: key.String(), Kind: "Model", Server: "default", Name: key.Name, ObservedRevision: rev, AcceptedRevision: rev, Revision: old.Revision}
		if _, err := c.PutStatus(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeleteSpec(t.Context(), state.ModelKey("default", "m3"), DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	return js
}

func backedUpFile(t *testing.T, js jetstream.JetStream) []byte {
	t.Helper()
	var file bytes.Buffer
	info, err := New(js).Backup(t.Context(), &file, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	checked, err := CheckBackup(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(info, checked); diff != "" {
		t.Errorf("what was written differs from what is read:\n%s", diff)
	}
	return file.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	s := newStore(t)
	js := used(t, s)
	want := contentOf(t, js)
	file := backedUpFile(t, js)

	other := newStore(t)
	empty := other.ready()
	if _, err := New(empty).Restore(t.Context(), bytes.NewReader(file), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contentOf(t, empty)); diff != "" {
		t.Errorf("restored into an empty store:\n%s", diff)
	}
	other.restart(empty)
	if diff := cmp.Diff(want, contentOf(t, empty)); diff != "" {
		t.Errorf("after a restart:\n%s", diff)
	}
	// Revisions go on.
	rev, err := New(empty).PutSpec(t.Context(), state.ModelKey("default", "m0"), []byte("next"), PutOptions{})
	if err != nil || rev != 32+1 {
		t.Errorf("the next revision is %d, %v", rev, err)
	}

	nowhere := newStore(t)
	fresh := nowhere.dial()
	if _, err := New(fresh).Restore(t.Context(), bytes.NewReader(file), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contentOf(t, fresh)); diff != "" {
		t.Errorf("restored where no reconciler ever ran:\n%s", diff)
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ room int }

var errFullDisk = errors.New("no space left on device")

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFullDisk
	}
	f.room -= len(p)
	return len(p), nil
}

// A disk that is full is told as that, wherever in the file it happens.
func TestBackupToAFullDisk(t *testing.T) {
	c := New(newStore(t).ready())
	for _, room := range []int{0, 60, 300} {
		_, err := c.Backup(t.Context(), &fullDisk{room}, time.Now())
		if !errors.Is(err, errFullDisk) || errors.Is(err, ErrUnreachable) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

// A store that holds something is replaced only when that is said, and a reconciler
// that watches does not make the buckets again meanwhile.
func TestRestoreOverAStore(t *testing.T) {
	s := newStore(t)
	js := used(t, s)
	want := contentOf(t, js)
	file := backedUpFile(t, js)

	other := newStore(t)
	held := other.ready()
	key := state.ModelKey("default", "newer")
	if _, err := New(held).PutSpec(t.Context(), key, []byte("{}"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	before := contentOf(t, held)
	if _, err := New(held).Restore(t.Context(), bytes.NewReader(file), false); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("%v, want ErrNotEmpty", err)
	}
	if diff := cmp.Diff(before, contentOf(t, held)); diff != "" {
		t.Errorf("a refused restore changed the store:\n%s", diff)
	}
	w := watch(t, held)
	w.synced()
	for range 5 {
		if _, err := New(held).Restore(t.Context(), bytes.NewReader(file), true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, contentOf(t, held)); diff != "" {
			t.Fatalf("restored under a reconciler:\n%s", diff)
		}
	}
	w.until("the views show what was restored", func() bool {
		e, ok := w.spec("model.default.m9")
		return ok && w.Specs().Synced && e.Revision == 30+1
	})
	for end := time.Now().Add(10 * time.Second); w.StoreID() != want.ID; time.Sleep(50 * time.Millisecond) { // which does not kick
		if time.Now().After(end) {
			t.Fatalf("the store id is %s, want %s", w.StoreID(), want.ID)
		}
	}
	// Nothing stands in the way of buckets that are deleted afterwards.
	if err := held.DeleteKeyValue(t.Context(), BucketSpecs); err != nil {
		t.Fatal(err)
	}
	w.until("the bucket is there again", func() bool {
		_, err := held.KeyValue(t.Context(), BucketSpecs)
		return err == nil
	})
}

// A backup that is not whole is refused before anything is touched, wherever it is
// damaged.
func TestADamagedBackupIsRefused(t *testing.T) {
	s := newStore(t)
	js := used(t, s)
	file := backedUpFile(t, js)
	before := contentOf(t, js)
	damaged := map[string][]byte{
		"empty": {}, "another file": []byte("PK\x03\x04 something else, long enough"), "one byte short": file[:len(file)-1],
		"half": file[:len(file)/2], "the line alone": file[:len(backupMagic)],
	}
	for i := range 40 {
		b := bytes.Clone(file)
		b[i*(len(b)-1)/39] ^= 0x01
		damaged[fmt.Sprintf("a bit at %d of 39", i)] = b
	}
	for name, b := range damaged {
		if _, err := New(js).Restore(t.Context(), bytes.NewReader(b), true); !errors.Is(err, ErrBadBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, contentOf(t, js)); diff != "" {
		t.Errorf("the store was changed:\n%s", diff)
	}
}

// A restore that is under way leaves a mark that says so.
func TestBucketsAreNotMadeDuringARestore(t *testing.T) {
	js := newStore(t).ready()
	done, err := New(js).announceRestore(t.Context(), BackupInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureBuckets(t.Context(), js); !errors.Is(err, ErrRestoring) {
		t.Errorf("%v, want ErrRestoring", err)
	}
	another, err := New(js).announceRestore(t.Context(), BackupInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if err := done(); !errors.Is(err, ErrRestoring) {
		t.Errorf("another one has begun: %v, want ErrRestoring", err)
	}
	done = another
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil { // which somebody else has done
		t.Error(err)
	}
	if _, err := EnsureBuckets(context.Background(), js); err != nil {
		t.Error(err)
	}
}
