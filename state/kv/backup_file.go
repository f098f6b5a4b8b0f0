package kv

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// The file of a backup: its magic line, then frames of a kind, a length and that
// many bytes. One header; for each bucket its description and the data of NATS'
// snapshot; at the end the SHA-256 of all before.
const (
	backupMagic = "dynctl-backup 1\n"

	frameHeader = 'H'
	frameStream = 'S'
	frameData   = 'D'
	frameEnd    = 'E'

	// maxFrame is what NATS sends at most at once, and no description is larger.
	maxFrame = 1 << 20
)

// backupWriter writes frames; the first error stays.
type backupWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	err error
}

func newBackupWriter(w io.Writer) *backupWriter {
	out := &backupWriter{w: bufio.NewWriter(w), sum: sha256.New()}
	out.write([]byte(backupMagic))
	return out
}

func (o *backupWriter) write(b []byte) {
	if o.err == nil {
		_, o.err = io.MultiWriter(o.w, o.sum).Write(b)
	}
}

func (o *backupWriter) frame(kind byte, body []byte) {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	o.write(head)
	o.write(body)
}

func (o *backupWriter) json(kind byte, v any) {
	body, err := json.Marshal(v)
	o.err = errors.Join(o.err, err)
	o.frame(kind, body)
}

func (o *backupWriter) end() error {
	o.frame(frameEnd, o.sum.Sum(nil))
	return errors.Join(o.err, o.w.Flush())
}

// CheckBackup reads a backup to its end and says what it holds. [ErrBadBackup] when
// it is none, or not whole.
func CheckBackup(r io.Reader) (BackupInfo, error) {
	return readBackup(r, func(backupStream) (func([]byte) error, error) {
		return func([]byte) error { return nil }, nil
	})
}

// readBackup reads a backup; open is called for each bucket, and what it returns
// with each part of its snapshot, at the end with none.
func readBackup(r io.Reader, open func(backupStream) (func([]byte) error, error)) (BackupInfo, error) {
	in := &backupReader{r: bufio.NewReader(r), sum: sha256.New(), open: open, part: func([]byte) error { return nil }}
	if err := in.magic(); err != nil {
		return in.info, err
	}
	for {
		before := in.sum.Sum(nil)
		kind, body, err := in.frame()
		if err != nil {
			return in.info, err
		}
		switch kind {
		case frameHeader:
			err = damaged(json.Unmarshal(body, &in.info))
		case frameStream:
			err = in.stream(body)
		case frameData:
			err = in.part(body)
		case frameEnd:
			if !bytes.Equal(before, body) || in.info.StoreID == "" || len(in.info.Buckets) != len(backedUp) {
				return in.info, fmt.Errorf("%w: its checksum is wrong: it is damaged", ErrBadBackup)
			}
			return in.info, in.part(nil)
		default:
			err = damaged(fmt.Errorf("a part of the unknown kind %q", kind))
		}
		if err != nil {
			return in.info, err
		}
	}
}

// damaged is what cannot be read of a backup, as its error; nil for nil.
func damaged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: it is damaged: %w", ErrBadBackup, err)
}

type backupReader struct {
	r    *bufio.Reader
	sum  hash.Hash
	info BackupInfo
	open func(backupStream) (func([]byte) error, error)
	part func([]byte) error // takes the bucket that is being read
}

// stream ends the bucket before and opens the one that body describes.
func (i *backupReader) stream(body []byte) error {
	if err := i.part(nil); err != nil {
		return err
	}
	var s backupStream
	if err := json.Unmarshal(body, &s); err != nil {
		return damaged(err)
	}
	b, err := s.bucket()
	if err != nil {
		return damaged(err)
	}
	i.info.Buckets = append(i.info.Buckets, b)
	i.part, err = i.open(s)
	return err
}

func (i *backupReader) magic() error {
	b := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(i.r, b); err != nil || string(b) != backupMagic {
		return fmt.Errorf("%w: it was not written by dynctl backup, or by another version", ErrBadBackup)
	}
	_, _ = i.sum.Write(b)
	return nil
}

func (i *backupReader) frame() (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(i.r, head); err != nil {
		return 0, nil, fmt.Errorf("%w: it is cut off: %w", ErrBadBackup, err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("%w: it is damaged: a part of %d bytes", ErrBadBackup, size)
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(i.r, body); err != nil {
		return 0, nil, fmt.Errorf("%w: it is cut off: %w", ErrBadBackup, err)
	}
	_, _ = i.sum.Write(head)
	_, _ = i.sum.Write(body)
	return head[0], body, nil
}
