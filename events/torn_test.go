package events

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestATornSpool: a spool's file that is cut off at any length, with or without what a
// power cut leaves behind its end, gives every fact that is whole. The rest is set
// aside and counted once, and facts that come later are read too.
func TestATornSpool(t *testing.T) {
	var whole [][]byte
	for i := range 3 {
		b, err := Encode(testEvent(i))
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, b)
	}
	file := append(bytes.Join(whole, []byte("\n")), '\n')
	tails := map[string][]byte{"nothing": nil, "zeros": make([]byte, 512), "garbage": []byte("\xff\xfe{]\x00\n\x00\"\n\n\xf0")}
	for tail, rest := range tails {
		for cut := range len(file) + 1 {
			dir := t.TempDir()
			path := filepath.Join(dir, "facts-000000000005.jsonl")
			if err := os.WriteFile(path, append(bytes.Clone(file[:cut]), rest...), 0o600); err != nil {
				t.Fatal(err)
			}
			want, end := 0, 0
			for _, b := range whole {
				// The last line needs no end where nothing follows it.
				if end += len(b) + 1; end <= cut || end == cut+1 && len(rest) == 0 {
					want++
				}
			}
			requireWhole(t, dir, fmt.Sprintf("%d of %d bytes, then %s", cut, len(file), tail), want)
		}
	}
}

// requireWhole opens a spool and reads it, with one fact that comes later.
func requireWhole(t *testing.T, dir, what string, want int) {
	t.Helper()
	d, err := openSegments(dir, 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	later, err := Encode(testEvent(9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.append([]fact{{body: later}}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var ids []string
	bad := 0
	for d.count() > 0 {
		facts, n, err := d.load()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		bad += n
		for _, f := range facts {
			ids = append(ids, f.id)
		}
		d.release()
	}
	if len(ids) != want+1 || ids[want] != testEvent(9).ID {
		t.Fatalf("%s: read %q, want %d and the one that came later", what, ids, want)
	}
	aside, err := os.ReadFile(filepath.Join(dir, unreadableFile))
	if (bad > 0) != (err == nil) || len(lines(aside)) != bad {
		t.Fatalf("%s: %d lines set aside, and %d counted (%v)", what, len(lines(aside)), bad, err)
	}
}

// TestASpoolsFileThatCannotBeRead: it is named and stays; the others are read, and what
// was half written is gone.
func TestASpoolsFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	whole, err := Encode(testEvent(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "facts-000000000003.jsonl"), 0o700),
		os.WriteFile(filepath.Join(dir, "facts-000000000005.jsonl"), append(whole, '\n'), 0o600),
		os.WriteFile(filepath.Join(dir, "facts-000000000007.jsonl.tmp"), whole[:9], 0o600),
		os.WriteFile(filepath.Join(dir, "facts-9.jsonl"), whole[:9], 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	b := newBroker(t)
	js := b.ready()
	p := newPublisher(t, js, PublisherOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := closeWithin(p, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, js); len(got) != 1 || got[0] != testEvent(1).ID {
		t.Errorf("stored %+v", got)
	}
	if !strings.Contains(log.String(), "facts-000000000003.jsonl") {
		t.Errorf("the log does not name it: %s", &log)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A file that cannot be read when its turn comes stays for the next start.
func TestAFileIsNotRemovedUnread(t *testing.T) {
	dir := t.TempDir()
	whole, err := Encode(testEvent(1))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "facts-000000000003.jsonl")
	if err := os.WriteFile(path, append(whole, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openSegments(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	aside := path + ".aside"
	if err := errors.Join(os.Rename(path, aside), os.Mkdir(path, 0o700)); err != nil { // as good as an I/O error
		t.Fatal(err)
	}
	if facts, bad, err := d.load(); err == nil || len(facts)+bad > 0 {
		t.Errorf("%d facts, %d bad, error %v", len(facts), bad, err)
	}
	d.release()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if n := d.count(); n != 0 {
		t.Errorf("%d facts wait", n)
	}
}

// What finds no room among what was set aside is said to be lost.
func TestASideThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, unreadableFile), make([]byte, maxUnreadable-2), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openSegments(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.setAside([]byte("ab")); err != nil {
		t.Error(err)
	}
	if err := d.setAside([]byte("c")); err == nil || !strings.Contains(err.Error(), "0 of 1 bytes") {
		t.Errorf("error %v", err)
	}
}
