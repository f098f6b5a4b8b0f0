package kv

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// meddling is a backup, of which each read but the first makes a bucket again where it is
// away, as a reconciler does that has not been told of the restore in time.
type meddling struct {
	*bytes.Reader
	js    jetstream.JetStream
	t     *testing.T
	check bool // the first time it is read whole, to be checked
	left  int  // how often it still meddles
}

func (m *meddling) Seek(offset int64, whence int) (int64, error) {
	m.check = false
	return m.Reader.Seek(offset, whence)
}

func (m *meddling) Read(p []byte) (int, error) {
	if _, err := m.js.Stream(m.t.Context(), streamName(BucketSpecs)); err != nil && !m.check && m.left > 0 {
		m.left--
		if err := (bucketConfig{name: BucketSpecs, history: HistoryDepth}).ensure(m.t.Context(), m.js); err != nil {
			m.t.Error(err)
		}
	}
	return m.Reader.Read(p[:min(len(p), 512)])
}

// A bucket that is made again while its backup is on its way is replaced all the same.
func TestARestoreThatIsMeddledWith(t *testing.T) {
	js := used(t, newStore(t))
	want := contentOf(t, js)
	file := backedUpFile(t, js)
	held := newStore(t).ready()
	m := &meddling{Reader: bytes.NewReader(file), js: held, t: t, check: true, left: 2}
	if _, err := New(held).Restore(t.Context(), m, true); err != nil {
		t.Fatal(err)
	}
	if m.left > 0 {
		t.Errorf("%d times less was meddled than was meant", m.left)
	}
	if diff := cmp.Diff(want, contentOf(t, held)); diff != "" {
		t.Errorf("restored:\n%s", diff)
	}
}
