package natsd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ledgerFile says, beside the streams, what they held a second ago at the latest:
// a block that was cut off between two records, or that is gone, looks like one
// that never held more. It also has a copy of each meta.inf.
const ledgerFile = "dynctl.ledger"

// ledger is what was in the store, by directory of a stream below the store's.
type ledger struct {
	Streams map[string]ledgerStream `json:"streams"`
}

type ledgerStream struct {
	// Meta is a copy of meta.inf.
	Meta    []byte    `json:"meta"`
	Created time.Time `json:"created"`
	LastSeq uint64    `json:"lastSeq"`
	Msgs    int       `json:"msgs"`
	Blocks  []int     `json:"blocks"`
}

func (l ledger) dirs() []string { return slices.Sorted(maps.Keys(l.Streams)) }

// made says when each stream was made.
func (l ledger) made() map[string]time.Time {
	out := map[string]time.Time{}
	for dir, s := range l.Streams {
		out[dir] = s.Created
	}
	return out
}

// of is what is known of the stream that was made then; another one in its place
// is not known.
func (l ledger) of(dir string, created time.Time) ledgerStream {
	if s := l.Streams[dir]; s.Created.Equal(created) {
		return s
	}
	return ledgerStream{}
}

// readLedger reads the ledger. There is none in a new store, nor in one of an
// earlier version; one that is damaged proves nothing, and is as good as none.
func readLedger(root string) (ledger, error) {
	var l ledger
	b, err := os.ReadFile(filepath.Join(root, ledgerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	body, sum, ok := bytes.Cut(b, []byte("\n"))
	want := sha256.Sum256(body)
	if !ok || string(sum) != hex.EncodeToString(want[:]) || json.Unmarshal(body, &l) != nil {
		return ledger{}, nil
	}
	return l, nil
}

// keepLedger keeps the ledger until ctx ends.
func (s *Server) keepLedger(ctx context.Context) {
	tick := time.NewTicker(stockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.keepStock()
		}
	}
}

// keepStock brings the ledger up to date. Where that fails the one of before stands,
// which says less; the disk is looked after by keepStoring.
func (s *Server) keepStock() {
	if err := s.writeLedger(); err != nil {
		s.opts.Log.Debug("the ledger of the store was not written", "err", err)
	}
}

// writeLedger writes what is in the server's streams, unless it is what was
// written last.
func (s *Server) writeLedger() error {
	ns := s.current()
	if s.failed.Load() || !ns.JetStreamEnabled() {
		return nil // what a failed store holds is seen when it is opened again
	}
	if ns != s.shelves.of { // its blocks are others when it has been started again
		s.shelves = shelves{of: ns}
	}
	l, err := s.shelves.takeStock(s.opts.StoreDir)
	if err != nil {
		return err
	}
	body, err := json.Marshal(l)
	if err != nil || bytes.Equal(body, s.stock) {
		return err
	}
	if made := l.made(); !maps.Equal(made, s.made) {
		if err := s.Sync(); err != nil { // a new stream, or one that was restored
			return err
		}
		s.made = made
	}
	sum := sha256.Sum256(body)
	if err := writeSynced(filepath.Join(s.opts.StoreDir, ledgerFile), fmt.Appendf(bytes.Clone(body), "\n%x", sum)); err != nil {
		return err
	}
	s.stock = body
	return nil
}

func blocksIn(dir string) []int {
	entries, _ := os.ReadDir(filepath.Join(dir, messagesDir)) // gone: there are none
	return blockIndexes(entries)
}

// readIndex is the last sequence that the server's own index of a stream tells; it
// may be old, and is worth nothing where its checksum is wrong.
func readIndex(path, stream string) (last uint64, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 2+8 {
		return 0, false
	}
	body, sum := b[:len(b)-8], b[len(b)-8:]
	h := hasherOf(stream)
	_, _ = h.Write(body)
	if !bytes.Equal(h.Sum(nil), sum) {
		return 0, false
	}
	// Two bytes of version, then messages, bytes, first sequence, time of the first
	// (which is signed) and last sequence, as varints.
	at := body[2:]
	for range 3 {
		_, n := binary.Uvarint(at)
		at = at[max(n, 0):]
	}
	_, n := binary.Varint(at)
	last, m := binary.Uvarint(at[max(n, 0):])
	return last, m > 0
}

// writeSynced replaces a file, which its owner alone may read; it is on disk when this
// returns.
func writeSynced(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sync syncs every file and directory of the store. Single writes need no such
// thing, but what NATS restores from a snapshot does.
func (s *Server) Sync() error {
	return filepath.WalkDir(s.opts.StoreDir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed in between
			return nil
		case err != nil || !d.IsDir() && !d.Type().IsRegular():
			return err
		}
		err = syncDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
