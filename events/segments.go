package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// segmentSize is where a segment is closed and the next one begun. One segment is
// in memory at a time, and is sent again as a whole after a crash.
const segmentSize = 256 << 10

// errSpoolFull means that the bound on disk is reached.
var errSpoolFull = errors.New("event spool is full")

// segments is a queue of facts in numbered files, a line each. A file is removed
// when all its facts are sent. count may be called at any time; the rest under
// the publisher's moveMu.
type segments struct {
	dir string
	max int64

	mu sync.Mutex
	// Invariant: files is sorted by number; loaded is not in it.
	files []segment
	// loaded is the segment whose facts are the publisher's head: a file that was
	// read, or a number kept free for facts that came straight from memory.
	loaded segment
	next   int
	bytes  int64
	facts  int // in files
	// passed are files of the spool's that could not be read at the start; they stay
	// where they are.
	passed []error
}

type segment struct {
	number int // 0: none
	facts  int
	size   int64
}

func openSegments(dir string, maxBytes int64) (*segments, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &segments{dir: dir, max: maxBytes, next: 2}
	names, err := filepath.Glob(filepath.Join(dir, "facts-*.jsonl"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var s segment
		if _, err := fmt.Sscanf(filepath.Base(name), "facts-%d.jsonl", &s.number); err != nil || s.number < 1 || name != d.path(s.number) {
			continue // none of ours
		}
		b, err := os.ReadFile(name)
		if err != nil {
			d.passed = append(d.passed, err)
			d.next = max(d.next, s.number+2) // nothing is appended to it
			continue
		}
		s.facts, s.size = len(lines(b)), int64(len(b))
		d.files = append(d.files, s)
		d.facts += s.facts
		d.bytes += s.size
		d.next = max(d.next, s.number+2)
	}
	// What was being written when the machine went down.
	half, err := filepath.Glob(filepath.Join(dir, "facts-*.jsonl.tmp"))
	for _, name := range half {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		d.passed = append(d.passed, err)
	}
	slices.SortFunc(d.files, func(a, b segment) int { return a.number - b.number })
	// A directory that cannot be written is found now, not at the first outage.
	probe := filepath.Join(dir, "probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return nil, err
	}
	return d, os.Remove(probe)
}

func (d *segments) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.facts
}

func (d *segments) path(number int) string {
	return filepath.Join(d.dir, fmt.Sprintf("facts-%012d.jsonl", number))
}

// append adds facts at the end and says how many it took.
func (d *segments) append(facts []fact) (int, error) {
	taken := 0
	for taken < len(facts) {
		var buf bytes.Buffer
		d.mu.Lock()
		size := int64(0)
		n := len(d.files)
		// Only a segment of this run is appended to: an earlier one may end in a
		// torn line.
		if n > 0 && d.files[n-1].number == d.next-1 && d.files[n-1].size < segmentSize {
			size = d.files[n-1].size
		} else {
			d.files = append(d.files, segment{number: d.next})
			d.next++
			n++
		}
		room := d.max - d.bytes
		d.mu.Unlock()

		count := 0
		for _, f := range facts[taken:] {
			if int64(buf.Len()+len(f.body)+1) > room || (count > 0 && size+int64(buf.Len()) >= segmentSize) {
				break
			}
			buf.Write(f.body)
			buf.WriteByte('\n')
			count++
		}
		if count == 0 {
			return taken, errSpoolFull
		}
		if err := d.write(d.files[n-1].number, buf.Bytes()); err != nil {
			return taken, err
		}
		d.mu.Lock()
		d.files[n-1].size += int64(buf.Len())
		d.files[n-1].facts += count
		d.bytes += int64(buf.Len())
		d.facts += count
		d.mu.Unlock()
		taken += count
	}
	return taken, nil
}

// write appends to a file. A write that fails half-way is taken back, so that no
// torn line stands before a good one.
func (d *segments) write(number int, b []byte) error {
	f, err := os.OpenFile(d.path(number), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Write(b)
	}
	if err != nil {
		return errors.Join(err, f.Truncate(before), f.Close())
	}
	return f.Close()
}

// load takes the oldest segment out and reads it; bad counts the lines that are
// no events, which are set aside. Its file stays until release, and for good if it cannot
// be read.
func (d *segments) load() (facts []fact, bad int, err error) {
	d.mu.Lock()
	d.loaded = d.files[0]
	d.files = d.files[1:]
	d.facts -= d.loaded.facts
	// Nothing is appended to a segment that has been read.
	d.next = max(d.next, d.loaded.number+2)
	d.mu.Unlock()
	if d.loaded.facts == 0 {
		return nil, 0, nil
	}
	b, err := os.ReadFile(d.path(d.loaded.number))
	if err != nil {
		return nil, 0, d.leave(err)
	}
	var torn bytes.Buffer
	for _, line := range lines(b) {
		e, err := Decode(line)
		if err != nil {
			bad++
			torn.Write(line)
			torn.WriteByte('\n')
			continue
		}
		facts = append(facts, fact{e.ID, e.Subject(), slices.Clone(line)})
	}
	if bad > 0 {
		err = d.setAside(torn.Bytes())
	}
	return facts, bad, err
}

// unreadableFile is where lines are set aside that are no events, for people to look
// at; maxUnreadable is how large it may become.
const (
	unreadableFile = "unreadable.txt"
	maxUnreadable  = 1 << 20
)

// setAside keeps what cannot be read, as far as there is room for it.
func (d *segments) setAside(b []byte) error {
	f, err := os.OpenFile(filepath.Join(d.dir, unreadableFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	at, err := f.Seek(0, io.SeekEnd)
	room := max(maxUnreadable-at, 0)
	if err == nil {
		_, err = f.Write(b[:min(int64(len(b)), room)])
	}
	if err == nil && int64(len(b)) > room {
		err = fmt.Errorf("%s has room for %d of %d bytes; the rest is lost: move it away", f.Name(), room, len(b))
	}
	return errors.Join(err, f.Close())
}

// leave passes over the loaded segment, whose file cannot be read now: it stays for the
// next start.
func (d *segments) leave(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes -= d.loaded.size
	d.loaded = segment{}
	return fmt.Errorf("it is passed over, and read again at the next start: %w", err)
}

// release removes the loaded segment: all of it is sent.
func (d *segments) release() {
	d.mu.Lock()
	s := d.loaded
	d.loaded = segment{}
	d.bytes -= s.size
	d.mu.Unlock()
	if s.number != 0 {
		_ = os.Remove(d.path(s.number)) // left behind it is sent again and deduplicated
	}
}

// restore puts facts that were not sent back in front of the queue.
func (d *segments) restore(facts []fact) error {
	if len(facts) == 0 {
		return nil
	}
	d.mu.Lock()
	s := d.loaded
	if s.number == 0 {
		// The head came from memory, so everything on disk is newer.
		s.number = d.next
		if len(d.files) > 0 {
			s.number = d.files[0].number - 1
		}
	}
	d.mu.Unlock()
	var buf bytes.Buffer
	for _, f := range facts {
		buf.Write(f.body)
		buf.WriteByte('\n')
	}
	tmp := d.path(s.number) + ".tmp"
	if err := os.WriteFile(tmp, buf.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.path(s.number)); err != nil {
		return err
	}
	d.mu.Lock()
	d.loaded = segment{}
	d.bytes += int64(buf.Len()) - s.size
	d.files = slices.Insert(d.files, 0, segment{number: s.number, facts: len(facts), size: int64(buf.Len())})
	d.facts += len(facts)
	d.next = max(d.next, s.number+2)
	d.mu.Unlock()
	return nil
}

// lines are the non-empty lines of b.
func lines(b []byte) [][]byte {
	var out [][]byte
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if len(line) > 0 {
			out = append(out, line)
		}
	}
	return out
}
