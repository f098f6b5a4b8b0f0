package natsd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// stocked is a server of which the test says when stock is taken.
type stocked struct {
	*testing.T
	s  *Server
	js jetstream.JetStream
}

func newStocked(t *testing.T) stocked {
	t.Helper()
	s := start(t, Options{StoreDir: t.TempDir()})
	s.end()
	s.ended.Wait()
	js, end := dial(t, s)
	t.Cleanup(end)
	return stocked{t, s, js}
}

func (s stocked) bucket(name string) jetstream.KeyValue {
	s.Helper()
	b, err := s.js.CreateKeyValue(s.Context(), jetstream.KeyValueConfig{Bucket: name})
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s stocked) put(b jetstream.KeyValue) {
	s.Helper()
	if _, err := b.Put(s.Context(), "key", []byte("x")); err != nil {
		s.Fatal(err)
	}
}

// dirOf is the directory of a bucket, below the store's.
func dirOf(bucket string) string {
	return filepath.Join(jetstreamDir, "$G", "streams", "KV_"+bucket)
}

// look takes stock, and is what the ledger says of the bucket then.
func (s stocked) look(bucket string) ledgerStream {
	s.Helper()
	if err := s.s.writeLedger(); err != nil {
		s.Fatal(err)
	}
	l, err := readLedger(s.s.opts.StoreDir)
	if err != nil {
		s.Fatal(err)
	}
	return l.Streams[dirOf(bucket)]
}

// The files of a stream that rests are not read: what somebody removes from it stays in the
// ledger, for the next start to miss, until it changes or has rested for a while.
func TestStockOfWhatRests(t *testing.T) {
	s := newStocked(t)
	rests, changes := s.bucket("rests"), s.bucket("changes")
	s.put(rests)
	for i := range restsAfter {
		s.put(changes)
		if got := s.look("changes"); got.LastSeq != uint64(i+1) || got.Msgs != 1 {
			t.Fatalf("after %d writes the ledger has %+v", i+1, got)
		}
	}
	blocks, hidden := filepath.Join(s.s.opts.StoreDir, dirOf("rests"), messagesDir), filepath.Join(t.TempDir(), "hidden")
	if err := os.Rename(blocks, hidden); err != nil {
		t.Fatal(err)
	}
	for i := range restsFor {
		if got := s.look("rests"); got.LastSeq != 1 || len(got.Blocks) != 1 {
			t.Fatalf("at rest for %d the ledger has %+v, want what was there", i, got)
		}
	}
	if got := s.look("rests"); len(got.Blocks) != 0 {
		t.Errorf("after a while the ledger has %+v, want what is there", got)
	}
	if err := os.Rename(hidden, blocks); err != nil {
		t.Fatal(err)
	}
	if s.look("rests"); len(s.look("rests").Blocks) != 1 {
		t.Errorf("what is there again is not in the ledger: %+v", s.look("rests"))
	}
}

func TestStockOfWhatChangesAgain(t *testing.T) {
	s := newStocked(t)
	b := s.bucket("rests")
	s.put(b)
	for range restsAfter + 1 {
		s.look("rests")
	}
	s.put(b)
	if got := s.look("rests"); got.LastSeq != 2 || len(got.Blocks) != 1 {
		t.Errorf("after a write the ledger has %+v", got)
	}
	for range restsAfter + 1 {
		s.look("rests")
	}
	if _, err := s.js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "rests", Description: "other settings"}); err != nil {
		t.Fatal(err)
	}
	meta, err := os.ReadFile(filepath.Join(s.s.opts.StoreDir, dirOf("rests"), metaFile))
	if got := s.look("rests"); err != nil || string(got.Meta) != string(meta) {
		t.Errorf("the settings in the ledger are %s, want %s (%v)", got.Meta, meta, err)
	}
}
