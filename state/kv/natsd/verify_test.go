package natsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// filled is a store with a bucket of specs of several blocks, and one of statuses.
func filled(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nats")
	s, err := Start(Options{StoreDir: dir, Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	js, done := dial(t, s)
	for _, bucket := range []string{"specs", "status", "events"} {
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, History: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			if _, err := kv.Put(t.Context(), fmt.Sprintf("key.%d", i%50), bytes.Repeat([]byte{byte(i)}, 200_000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := kv.Delete(t.Context(), "key.7"); err != nil {
			t.Fatal(err)
		}
	}
	done()
	stop(t, s)
	return dir
}

func streamDir(store, bucket string) string {
	return filepath.Join(store, "jetstream", "$G", "streams", "KV_"+bucket)
}

// blockFile is a block of the bucket: the first, or the last one that holds records.
func blockFile(t *testing.T, store, bucket string, last bool) string {
	t.Helper()
	found := blocksIn(streamDir(store, bucket))
	if len(found) < 2 {
		t.Fatalf("%d blocks; the test wants several", len(found))
	}
	index := found[0]
	if last {
		index = found[len(found)-1]
	}
	return filepath.Join(streamDir(store, bucket), "msgs", blockName(index))
}

// damage is something that happens to a file of a store.
type damage struct {
	name   string
	file   func(t *testing.T, store, bucket string) string
	change func([]byte) []byte // nil: the file is removed
}

func inStream(file string) func(*testing.T, string, string) string {
	return func(_ *testing.T, store, bucket string) string { return filepath.Join(streamDir(store, bucket), file) }
}

func firstBlock(t *testing.T, store, bucket string) string { return blockFile(t, store, bucket, false) }
func lastBlock(t *testing.T, store, bucket string) string  { return blockFile(t, store, bucket, true) }

func emptied([]byte) []byte  { return []byte{} }
func halved(b []byte) []byte { return b[:len(b)/2] }
func garbage([]byte) []byte  { return []byte("garbage") }

// flipped has one bit of one byte changed, at that share of the file.
func flipped(share float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b[int(share*float64(len(b)-1))] ^= 0x10
		return b
	}
}

var damages = []damage{
	{"empty meta.inf", inStream("meta.inf"), emptied},
	{"altered meta.inf", inStream("meta.inf"), func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"max_msgs_per_subject":3`), []byte(`"max_msgs_per_subject":1`), 1)
	}},
	{"garbage in meta.inf", inStream("meta.inf"), garbage},
	{"no meta.inf", inStream("meta.inf"), nil},
	{"empty meta.sum", inStream("meta.sum"), emptied},
	{"altered meta.sum", inStream("meta.sum"), flipped(0.5)},
	{"no meta.sum", inStream("meta.sum"), nil},
	{"first block cut", firstBlock, halved},
	{"first block empty", firstBlock, emptied},
	{"first block gone", firstBlock, nil},
	{"first block cut between two records", firstBlock, func(b []byte) []byte { return b[:recordSize(b)] }},
	{"last block cut", lastBlock, halved},
	{"last block cut between two records", lastBlock, func(b []byte) []byte { return b[:recordSize(b)] }},
	{"last block empty", lastBlock, emptied},
	{"last block gone", lastBlock, nil},
	{"a length flipped in the first block", firstBlock, flipped(0)},
	{"a value flipped in the first block", firstBlock, flipped(0.4)},
	{"a checksum flipped in the first block", firstBlock, flipped(1)},
	{"a value flipped in the last block", lastBlock, flipped(0.6)},
	{"a checksum flipped at the very end", lastBlock, flipped(1)},
	{"zeros in the last block", lastBlock, func(b []byte) []byte { return make([]byte, len(b)) }},
	{"the stream's directory gone", inStream("."), nil},
	{"the messages' directory gone", inStream("msgs"), nil},
}

func (d damage) happen(t *testing.T, store, bucket string) (file string) {
	t.Helper()
	file = d.file(t, store, bucket)
	if d.change == nil {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := d.change(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		t.Fatal("nothing is damaged")
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tree is every file below a directory with what is in it, but for the lock.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "dynctl.lock" {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// values are the newest values of a bucket.
func values(t *testing.T, s *Server, bucket string) map[string]string {
	t.Helper()
	js, done := dial(t, s)
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		t.Fatalf("%s: %v", bucket, err)
	}
	keys, err := kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, key := range keys {
		e, err := kv.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(e.Value())
	}
	return out
}

// copied is a copy of a store.
func copied(t *testing.T, store string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "nats")
	if err := os.CopyFS(to, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A damaged store is not opened and not changed; the error names the file and the
// two ways out. --repair then keeps every record that is whole, of this stream and of
// the others, and the revisions go on where they were.
func TestADamagedStoreIsNeverMadeAnew(t *testing.T) {
	store := filled(t)
	whole := start(t, Options{StoreDir: copied(t, store)})
	want, last := values(t, whole, "specs"), lastRevision(t, whole, "specs")
	stop(t, whole)
	if len(want) != 49 {
		t.Fatalf("%d values", len(want))
	}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir := copied(t, store)
			file := d.happen(t, dir, "specs")
			before := tree(t, dir)
			s, err := Start(Options{StoreDir: dir, Port: -1, Disposable: []string{"KV_events"}})
			if err == nil {
				defer stop(t, s)
				t.Fatalf("it started, with %d of %d values", len(values(t, s, "specs")), len(want))
			}
			named := filepath.Clean(file)
			if strings.Contains(d.name, "between two records") || strings.Contains(d.name, "block empty") {
				named = filepath.Dir(file) // nothing in the file itself is wrong
			}
			if !errors.Is(err, ErrStoreBroken) || !strings.Contains(err.Error(), named) || !strings.Contains(err.Error(), "--repair") ||
				!strings.Contains(err.Error(), "dynctl restore") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v\nwant it to name %s and both ways out", err, named)
			}
			if !maps.Equal(before, tree(t, dir)) {
				t.Error("files were changed")
			}
			s = start(t, Options{StoreDir: dir, Repair: true})
			requireRepaired(t, s, d, want, last)
			if len(values(t, s, "status")) != 49 {
				t.Error("the repair of one stream cost another's values")
			}
			aside, _ := filepath.Glob(dir + ".broken-*")
			if len(aside) != 1 {
				t.Errorf("put aside: %q", aside)
			}
			stop(t, s)
			start(t, Options{StoreDir: dir})
		})
	}
}

func requireRepaired(t *testing.T, s *Server, d damage, want map[string]string, last uint64) {
	t.Helper()
	if d.name == "the stream's directory gone" {
		return // there is nothing to keep, and whoever uses the stream makes it
	}
	got := values(t, s, "specs")
	if strings.Contains(d.name, "meta") && !maps.Equal(got, want) {
		t.Errorf("%d of %d values are left though all were whole", len(got), len(want))
	}
	if strings.Contains(d.name, "flipped") && len(got) < len(want)-1 {
		t.Errorf("%d of %d values are left though one was damaged; among them %v", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
	older := 0
	for key, value := range got {
		if w, ok := want[key]; ok && w != value {
			older++ // the newest revision was damaged, and the one before it is whole
		}
	}
	if strings.Contains(d.name, "flipped") && older > 1 {
		t.Errorf("%d keys have other values though one record was damaged", older)
	}
	if now := lastRevision(t, s, "specs"); now < last {
		t.Errorf("revisions end at %d, and had ended at %d", now, last)
	}
}

func lastRevision(t *testing.T, s *Server, bucket string) uint64 {
	t.Helper()
	js, done := dial(t, s)
	defer done()
	stream, err := js.Stream(t.Context(), "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// What can be done without costs nothing but itself.
func TestADisposableStreamIsPutAside(t *testing.T) {
	store := filled(t)
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir := copied(t, store)
			d.happen(t, dir, "events")
			var log bytes.Buffer
			s := start(t, Options{StoreDir: dir, Disposable: []string{"KV_events"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if len(values(t, s, "specs")) != 49 {
				t.Error("specs are missing")
			}
			if !strings.Contains(log.String(), "KV_events") || !strings.Contains(log.String(), ".broken-") {
				t.Errorf("not told:\n%s", log.String())
			}
		})
	}
}

// The server's own index is made again from the blocks.
func TestADamagedIndexIsMadeAgain(t *testing.T) {
	store := filled(t)
	for name, change := range map[string]func([]byte) []byte{"empty": emptied, "garbage": garbage, "flipped": flipped(0.5), "gone": nil} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, store)
			damage{name, inStream("msgs/index.db"), change}.happen(t, dir, "specs")
			s := start(t, Options{StoreDir: dir})
			if got := values(t, s, "specs"); len(got) != 49 {
				t.Errorf("%d values", len(got))
			}
		})
	}
}
