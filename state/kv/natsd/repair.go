package natsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrStoreBroken means that files of the store are damaged or gone. Nothing has been
// changed.
var ErrStoreBroken = errors.New("the store is damaged")

// inspect looks through the store and puts aside what may be put aside: with
// repair every broken stream, otherwise those that are disposable.
func inspect(o Options) error {
	found, err := verify(o.StoreDir)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w: %w", ErrStoreDir, err)
	}
	if len(found.denied) > 0 {
		return fmt.Errorf("embedded NATS: %w: %s: give the files below %s to the user who runs this program, or run it as their owner",
			ErrStoreDir, several(found.denied), o.StoreDir)
	}
	for _, f := range found.torn {
		o.Log.Warn("the end of a file is an unfinished write, which nobody was told to be stored; it is dropped", "file", f.file, "found", f.what)
	}
	var broken []fault
	for _, f := range found.faults {
		if !o.Repair && !slices.Contains(o.Disposable, filepath.Base(f.stream)) {
			broken = append(broken, f)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("embedded NATS: %w: %s; nothing was changed: start once with --repair, which moves what is damaged to %s.broken-TIME and keeps all records that are whole, "+
			"or move %[3]s away and put a backup back with `dynctl restore FILE --data-dir DIR`", ErrStoreBroken, several(broken), o.StoreDir)
	}
	if len(found.faults) == 0 {
		return nil
	}
	aside := o.StoreDir + ".broken-" + time.Now().UTC().Format("20060102T150405Z")
	for dir, faults := range byStream(found.faults) {
		left, err := putAside(found, dir, aside)
		if err != nil {
			return fmt.Errorf("embedded NATS: %w: put %s aside to %s: %w", ErrStoreDir, dir, aside, err)
		}
		o.Log.Error("a damaged stream was put aside, and goes on with the records that are whole", append([]any{"stream", filepath.Base(dir),
			"damage", several(faults), "aside", filepath.Join(aside, dir)}, left.told()...)...)
	}
	return nil
}

// several names the first faults and counts the others.
func several(faults []fault) string {
	const most = 3
	var out []string
	for _, f := range faults[:min(most, len(faults))] {
		out = append(out, f.String())
	}
	if more := len(faults) - most; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "; ")
}

func byStream(faults []fault) map[string][]fault {
	out := map[string][]fault{}
	for _, f := range faults {
		out[f.stream] = append(out[f.stream], f)
	}
	return out
}

// putAside moves a stream's directory below aside and leaves in its place what is
// whole of it: all sound records, and a tombstone, so that no sequence is given
// twice. Without any readable meta.inf, its own or the ledger's, nothing is left: the
// stream will be recreated.
func putAside(found *look, dir, aside string) (left salvaged, err error) {
	from, to := filepath.Join(found.root, dir), filepath.Join(aside, dir)
	// The server removes what begins with a dot: what a kill leaves half made here
	// is never taken for a stream.
	made := filepath.Join(filepath.Dir(from), "."+filepath.Base(from)+".whole")
	if err := os.RemoveAll(made); err != nil {
		return left, err
	}
	meta := soundMeta(found, dir)
	if meta != nil {
		if left, err = salvage(from, made, meta, found.ledger.Streams[dir].LastSeq); err != nil {
			return left, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return left, err
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return left, err
	}
	if meta == nil {
		return left, syncDir(filepath.Dir(from))
	}
	if err := os.Rename(made, from); err != nil {
		return left, err
	}
	return left, syncDir(filepath.Dir(from))
}

// soundMeta is the stream's description: its own, even where the checksum alone is
// damaged, else the ledger's copy; nil: neither is readable.
func soundMeta(found *look, dir string) []byte {
	name := filepath.Base(dir)
	own, _ := os.ReadFile(filepath.Join(found.root, dir, metaFile)) // unreadable: the copy
	sum, _ := os.ReadFile(filepath.Join(found.root, dir, sumFile))
	known := found.ledger.Streams[dir].Meta
	switch {
	case len(own) > 0 && bytes.Equal(metaSum(name, own), sum):
		return own
	case len(known) > 0:
		return known
	}
	var m streamMeta
	if json.Unmarshal(own, &m) == nil && m.Name == name {
		return own
	}
	return nil
}

// salvage makes a stream's directory of what is whole in another one.
func salvage(from, to string, meta []byte, last uint64) (left salvaged, err error) {
	name := filepath.Base(from)
	messages := filepath.Join(to, messagesDir)
	if err := errors.Join(os.MkdirAll(messages, 0o700), os.MkdirAll(filepath.Join(to, "obs"), 0o700)); err != nil {
		return left, err
	}
	indexes, found := blocksIn(from), uint64(0)
	for _, index := range indexes {
		b, err := os.ReadFile(filepath.Join(from, messagesDir, blockName(index)))
		if err != nil {
			continue
		}
		records := readBlock(blockHasher(name, index), b)
		if records.bad >= 0 {
			b = bytes.Join(records.sound, nil)
		}
		left.note(records)
		found = max(found, records.last)
		if len(b) == 0 {
			continue // the server does not come to an end with such a block
		}
		if err := writeSynced(filepath.Join(messages, blockName(index)), b); err != nil {
			return left, err
		}
	}
	next := 1
	if len(indexes) > 0 {
		next = indexes[len(indexes)-1] + 1
	}
	if found < last { // of a message that is there it would be the end
		if err := writeSynced(filepath.Join(messages, blockName(next)), tombstoneOf(blockHasher(name, next), last)); err != nil {
			return left, err
		}
	}
	return left, errors.Join(
		writeSynced(filepath.Join(to, metaFile), meta),
		writeSynced(filepath.Join(to, sumFile), metaSum(name, meta)),
		syncDir(to))
}
