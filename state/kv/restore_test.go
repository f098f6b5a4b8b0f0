package kv

import (
	"bytes"
	"errors"
	"fmt"
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

// nats-server says in two ways that somebody made the stream which it restores: by a code of
// its own where it finds it before it adds its own, and within another one where it finds it then.
func TestMadeMeanwhile(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"before it is added": {&jetstream.APIError{ErrorCode: 10130, Description: "stream name already in use, cannot restore"}, true},
		"as it is added": {fmt.Errorf("bucket b: %w", &jetstream.APIError{ErrorCode: 10062,
			Description: "restore failed: error adding stream: stream name already in use, cannot restore (10130)"}), true},
		"it failed otherwise":    {&jetstream.APIError{ErrorCode: 10062, Description: "restore failed: no space left on device"}, false},
		"another one of NATS'":   {&jetstream.APIError{ErrorCode: 10047, Description: "insufficient storage (10130)"}, false},
		"it is not one of NATS'": {errors.New("10130"), false},
	} {
		if got := isMadeMeanwhile(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
