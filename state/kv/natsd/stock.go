package natsd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream that was found as it was that often in a row rests: its files are not read again
// until it changes, or has rested for that often. What a write leaves to be done, as to remove
// a block, NATS does within two seconds.
const (
	restsAfter = 10
	restsFor   = 50
)

// shelves are the streams as they were found last, by directory below the store's. To read
// the files of all of them once a second is a third of what a reconciler does that has
// nothing to do.
type shelves struct {
	of  *server.Server
	all map[string]shelf
}

type shelf struct {
	mark   mark
	found  int // how often in a row it was found with that mark
	stream ledgerStream
}

// mark changes with whatever is written to a stream, or to its settings.
type mark struct {
	created, settings time.Time
	first, last, msgs uint64
	bytes             uint64
}

func (s shelf) rests() bool { return s.found%(restsAfter+restsFor) >= restsAfter }

// takeStock reads what the server holds. A block is counted if it was there before
// and after: one that is being removed is not.
func (s *shelves) takeStock(root string) (ledger, error) {
	before := map[string][]int{}
	for dir, one := range s.all {
		before[dir] = one.stream.Blocks
		if !one.rests() {
			before[dir] = blocksIn(filepath.Join(root, dir))
		}
	}
	info, err := s.of.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return ledger{}, err
	}
	l, found := ledger{Streams: map[string]ledgerStream{}}, map[string]shelf{}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			dir := filepath.Join(jetstreamDir, account.Name, "streams", stream.Name)
			one, err := s.look(root, dir, stream, before)
			if err != nil {
				continue // in memory, or deleted just now
			}
			found[dir], l.Streams[dir] = one, one.stream
		}
	}
	s.all = found
	return l, nil
}

// look finds a stream, and reads its files unless it rests.
func (s *shelves) look(root, dir string, stream server.StreamDetail, before map[string][]int) (shelf, error) {
	settings, err := os.Stat(filepath.Join(root, dir, metaFile))
	if err != nil {
		return shelf{}, err
	}
	one, now := s.all[dir], markOf(stream, settings)
	if one.mark != now {
		one.mark, one.found = now, 0
	}
	if !one.rests() {
		blocks, known := before[dir]
		if !known {
			blocks = blocksIn(filepath.Join(root, dir))
		}
		one.stream, err = readStream(root, dir, stream, blocks)
	}
	one.found++
	return one, err
}

func markOf(stream server.StreamDetail, settings os.FileInfo) mark {
	return mark{stream.Created, settings.ModTime(), stream.State.FirstSeq, stream.State.LastSeq, stream.State.Msgs, stream.State.Bytes}
}

// readStream reads the files of a stream that had these blocks before.
func readStream(root, dir string, stream server.StreamDetail, before []int) (ledgerStream, error) {
	meta, err := os.ReadFile(filepath.Join(root, dir, metaFile))
	if err != nil {
		return ledgerStream{}, err
	}
	var m streamMeta
	if err := json.Unmarshal(meta, &m); err != nil {
		return ledgerStream{}, err
	}
	after := blocksIn(filepath.Join(root, dir))
	return ledgerStream{
		Meta: meta, Created: m.Created, LastSeq: stream.State.LastSeq, Msgs: int(stream.State.Msgs),
		Blocks: slices.DeleteFunc(after, func(i int) bool { return !slices.Contains(before, i) }),
	}, nil
}
