package natsd

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// How nats-server lays out a block of messages: one record after the other, each
//
//	length uint32 | sequence uint64 | time int64 | subject length uint16 | subject | ... | hash [8]byte
//
// little-endian, the length counting all of it. The hash is over what follows the
// length, without the fields that tell lengths.
const (
	recordHead = 22
	recordHash = 8
	maxRecord  = 32 << 20
	// hasHeaders in a length says that the headers' length, four bytes, stands behind
	// the subject.
	hasHeaders = 1 << 31
	// Bits of a sequence: the record was erased, or only notes a deletion.
	erased    = 1 << 63
	tombstone = 1 << 62
)

// compressed is how a block begins whose stream has compression, which none of ours
// has; the records in it cannot be seen.
var compressed = []byte("cmp")

// block is what is found in a block's file.
type block struct {
	// sound are the records whose hash is right, in their order.
	sound [][]byte
	// last is the highest sequence that a sound record names.
	last uint64
	// live are the sequences of messages, gone those that were deleted elsewhere.
	live, gone []uint64
	// bad is where the first record begins that is not right; -1: none. damaged is all
	// that is not right, each with how many sound records come before it.
	bad     int
	damaged [][]byte
	before  []int
	// torn: nothing sound comes after that, so it may be a write that was under way.
	torn bool
}

// hasherOf is the hash of a name; nats-server keys each with it.
func hasherOf(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return h
}

func blockHasher(stream string, index int) hash.Hash64 {
	return hasherOf(fmt.Sprintf("%s-%d", stream, index))
}

// metaSum is what meta.sum holds of a stream's meta.inf.
func metaSum(stream string, meta []byte) []byte {
	h := hasherOf(stream)
	_, _ = h.Write(meta)
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

// readBlock reads records. Behind one that is bad it goes on with the next that is
// whole.
func readBlock(h hash.Hash64, b []byte) block {
	out := block{bad: -1}
	if bytes.HasPrefix(b, compressed) {
		return out
	}
	for at := 0; at < len(b); {
		size := recordSize(b[at:])
		if size == 0 || !hashIsRight(h, b[at:at+size]) {
			if out.bad < 0 {
				out.bad, out.torn = at, true
			}
			out.before = append(out.before, len(out.sound))
			next := nextWhole(h, b[at+1:])
			if next < 0 {
				out.damaged = append(out.damaged, b[at:])
				break
			}
			out.damaged = append(out.damaged, b[at:at+1+next])
			at += 1 + next
			continue
		}
		out.sound = append(out.sound, b[at:at+size])
		out.count(binary.LittleEndian.Uint64(b[at+4:]))
		out.torn = false
		at += size
	}
	return out
}

// nextWhole is where the next message in b begins; -1: nowhere. What cannot be one
// by its length, sequence and time is not hashed, or this would never end.
func nextWhole(h hash.Hash64, b []byte) int {
	const (
		from, to = 946684800e9, 4102444800e9 // the years 2000 and 2100
		maxSeq   = 1 << 48
	)
	for at := range b {
		size := recordSize(b[at:])
		if size == 0 || binary.LittleEndian.Uint64(b[at+4:]) > maxSeq {
			continue
		}
		if t := binary.LittleEndian.Uint64(b[at+12:]); t < from || t > to {
			continue
		}
		if hashIsRight(h, b[at:at+size]) {
			return at
		}
	}
	return -1
}

func (b *block) count(sequence uint64) {
	seq := sequence &^ (erased | tombstone)
	b.last = max(b.last, seq)
	switch {
	case sequence&tombstone != 0:
		b.gone = append(b.gone, seq)
	case sequence&erased == 0 && seq != 0:
		b.live = append(b.live, seq)
	}
}

func hashIsRight(h hash.Hash64, record []byte) bool {
	return bytes.Equal(recordSum(h, record), record[len(record)-recordHash:])
}

func recordSum(h hash.Hash64, record []byte) []byte {
	subject := recordHead + int(binary.LittleEndian.Uint16(record[20:]))
	rest := subject
	if binary.LittleEndian.Uint32(record)&hasHeaders != 0 {
		rest += 4
	}
	h.Reset()
	_, _ = h.Write(record[4:20])
	_, _ = h.Write(record[recordHead:subject])
	_, _ = h.Write(record[rest : len(record)-recordHash])
	return h.Sum(nil)
}

// tombstoneOf is a record that holds nothing but makes the stream go on above seq.
func tombstoneOf(h hash.Hash64, seq uint64) []byte {
	record := make([]byte, recordHead+recordHash)
	binary.LittleEndian.PutUint32(record, uint32(len(record)))
	binary.LittleEndian.PutUint64(record[4:], seq|tombstone)
	copy(record[recordHead:], recordSum(h, record))
	return record
}

// recordSize is the length of the record that b begins with; 0: it cannot be one.
func recordSize(b []byte) int {
	if len(b) < recordHead+recordHash {
		return 0
	}
	length := binary.LittleEndian.Uint32(b)
	size := int(length &^ hasHeaders)
	least := recordHead + recordHash + int(binary.LittleEndian.Uint16(b[20:]))
	if length&hasHeaders != 0 {
		least += 4
	}
	if size < least || size > len(b) || size > maxRecord {
		return 0
	}
	return size
}
