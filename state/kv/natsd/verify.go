package natsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nats-server makes do with what it finds: a stream without a readable meta.inf is
// not there, a block is cut off where its first bad record begins, a file that is
// gone was never there. So the store is looked through before the server may write
// to it. Nothing here writes.

// fault is one thing that is wrong with a store.
type fault struct {
	stream string // its directory, below the store's
	file   string
	what   string
}

func (f fault) String() string { return f.file + ": " + f.what }

// streamMeta is what is read of meta.inf.
type streamMeta struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// look is a look through a store.
type look struct {
	root   string
	ledger ledger
	faults []fault
	// denied are files that this process may not read or write; nothing is known of
	// what is in them.
	denied []fault
	// torn are ends of blocks that are no record: writes that a kill or a power cut
	// has interrupted, and that nobody was told to be stored.
	torn []fault
}

// verify looks through the store below root.
func verify(root string) (*look, error) {
	l := &look{root: root}
	var err error
	if l.ledger, err = readLedger(root); err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, dir := range streamDirs(root) {
		found[dir] = true
		l.stream(dir)
	}
	if err := readable(filepath.Join(root, jetstreamDir)); err != nil {
		l.denied = append(l.denied, fault{file: filepath.Join(root, jetstreamDir), what: err.Error()})
		return l, nil
	}
	for _, dir := range l.ledger.dirs() {
		if !found[dir] {
			l.fault(dir, "", "the directory is gone")
		}
	}
	return l, nil
}

const (
	jetstreamDir = "jetstream"
	metaFile     = "meta.inf"
	sumFile      = "meta.sum"
	messagesDir  = "msgs"
	blockSuffix  = ".blk"
	indexFile    = "index.db"
)

// streamDirs are the directories of streams, below root. One that begins with a
// dot is of a stream that was being deleted.
func streamDirs(root string) []string {
	found, _ := filepath.Glob(filepath.Join(root, jetstreamDir, "*", "streams", "*")) // fails for a bad pattern alone
	var out []string
	for _, dir := range found {
		if !strings.HasPrefix(filepath.Base(dir), ".") {
			out = append(out, strings.TrimPrefix(dir, root+string(filepath.Separator)))
		}
	}
	slices.Sort(out)
	return out
}

func (l *look) fault(dir, file, what string) {
	l.faults = append(l.faults, fault{stream: dir, file: filepath.Join(l.root, dir, file), what: what})
}

// read reads a file of a stream; false: what is wrong has been noted.
func (l *look) read(dir, file string) ([]byte, bool) {
	path := filepath.Join(l.root, dir, file)
	if err := readable(path); err != nil {
		l.denied = append(l.denied, fault{stream: dir, file: path, what: err.Error()})
		return nil, false
	}
	b, err := os.ReadFile(path)
	if err != nil {
		what := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			what = "the file is gone"
		}
		l.fault(dir, file, what)
	}
	return b, err == nil
}

// readable fails where this process may not read or write a file that is there.
func readable(path string) error {
	const readAndWrite = 0x4 | 0x2
	if err := syscall.Access(path, readAndWrite); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("not to be read and written by uid %d: %w", os.Geteuid(), err)
	}
	return nil
}

func (l *look) stream(dir string) {
	name := filepath.Base(dir)
	meta, ok := l.meta(dir, name)
	if !ok {
		return
	}
	entries, err := os.ReadDir(filepath.Join(l.root, dir, messagesDir))
	if err != nil {
		l.unreadable(dir, messagesDir, err)
		return
	}
	was := l.ledger.of(dir, meta.Created)
	if index, ok := readIndex(filepath.Join(l.root, dir, messagesDir, indexFile), name); ok {
		was.LastSeq = max(was.LastSeq, index)
	}
	held := l.blocks(dir, name, entries, was)
	if unfinishedPurge(filepath.Join(l.root, dir)) {
		return // the server finishes it: what was kept is not in the blocks any more
	}
	if held.last > was.LastSeq {
		return // written since; what was removed meanwhile is not known
	}
	missing := false
	for _, index := range was.Blocks {
		if !held.present[index] {
			l.fault(dir, filepath.Join(messagesDir, blockName(index)), "the file is gone")
			missing = true
		}
	}
	switch {
	case missing:
	case held.last < was.LastSeq:
		l.fault(dir, messagesDir, fmt.Sprintf("it ends with message %d, and %d were stored", held.last, was.LastSeq))
	case len(held.live) < was.Msgs:
		l.fault(dir, messagesDir, fmt.Sprintf("it holds %d messages, and there were %d", len(held.live), was.Msgs))
	}
}

func (l *look) meta(dir, name string) (streamMeta, bool) {
	var m streamMeta
	meta, okMeta := l.read(dir, metaFile)
	sum, okSum := l.read(dir, sumFile)
	if !okMeta || !okSum {
		return m, false
	}
	switch {
	case len(meta) == 0:
		l.fault(dir, metaFile, "the file is empty")
	case len(sum) == 0:
		l.fault(dir, sumFile, "the file is empty")
	case !bytes.Equal(metaSum(name, meta), sum) && bytes.Equal(meta, l.ledger.Streams[dir].Meta):
		l.fault(dir, sumFile, "it is not the checksum of "+metaFile)
	case !bytes.Equal(metaSum(name, meta), sum):
		l.fault(dir, metaFile, "it does not have the checksum that is in "+sumFile)
	case json.Unmarshal(meta, &m) != nil || m.Name != name:
		l.fault(dir, metaFile, "it does not describe the stream "+name)
	default:
		return m, true
	}
	return m, false
}

// held is what is found in the blocks of a stream.
type held struct {
	present map[int]bool
	last    uint64 // the highest sequence
	live    map[uint64]bool
}

// blocks checks every record.
func (l *look) blocks(dir, name string, entries []os.DirEntry, was ledgerStream) held {
	indexes := blockIndexes(entries)
	out := held{present: map[int]bool{}, live: map[uint64]bool{}}
	var gone []uint64
	for i, index := range indexes {
		out.present[index] = true
		file := filepath.Join(messagesDir, blockName(index))
		b, ok := l.read(dir, file)
		if !ok {
			continue
		}
		found := readBlock(blockHasher(name, index), b)
		out.last = max(out.last, found.last)
		gone = append(gone, found.gone...)
		for _, seq := range found.live {
			out.live[seq] = true
		}
		if found.bad < 0 {
			continue
		}
		what := fmt.Sprintf("the record at byte %d of %d is damaged", found.bad, len(b))
		if found.torn && i == len(indexes)-1 && out.last >= was.LastSeq {
			l.torn = append(l.torn, fault{dir, filepath.Join(l.root, dir, file), what})
			continue
		}
		l.fault(dir, file, what)
	}
	for _, seq := range gone {
		delete(out.live, seq)
	}
	return out
}

func (l *look) unreadable(dir, file string, err error) {
	f := fault{dir, filepath.Join(l.root, dir, file), err.Error()}
	if errors.Is(err, fs.ErrPermission) {
		l.denied = append(l.denied, f)
		return
	}
	l.faults = append(l.faults, f)
}

// unfinishedPurge: the server keeps what it replaces in directories of these names.
func unfinishedPurge(dir string) bool {
	for _, name := range []string{"__msgs__", "__new_msgs__"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func blockName(index int) string { return strconv.Itoa(index) + blockSuffix }

// blockIndexes are the numbers of the blocks, sorted.
func blockIndexes(entries []os.DirEntry) []int {
	var out []int
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), blockSuffix)
		if n, err := strconv.Atoi(number); ok && err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
