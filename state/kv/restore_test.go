package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
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

// cut is a backup that ends the restore once so many bytes of it have been read again, after
// which meanwhile is called.
type cut struct {
	*bytes.Reader
	left      int
	check     bool // the first time it is read whole, to be checked
	meanwhile func()
}

func (c *cut) Seek(offset int64, whence int) (int64, error) {
	c.check = false
	return c.Reader.Seek(offset, whence)
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p[:min(len(p), 4096)])
	if c.check {
		return n, err
	}
	if c.left -= n; c.left < 0 && c.meanwhile != nil {
		c.meanwhile()
		c.meanwhile = nil
	}
	return n, err
}

// large is a store whose specs do not fit one part of a backup, however it is compressed.
func large(t *testing.T) jetstream.JetStream {
	t.Helper()
	js := used(t, newStore(t))
	values := rand.NewChaCha8([32]byte{})
	for i := range 20 {
		value := make([]byte, 100_000)
		_, _ = values.Read(value)
		if _, err := New(js).PutSpec(t.Context(), state.ModelKey("default", fmt.Sprintf("m%d", i%10)), value, PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return js
}

// A restore that is cut off, wherever, leaves a store that nobody goes by: NATS keeps what had
// come of a bucket, which are its oldest revisions. Another restore makes it whole, and one
// that comes to nothing changes none of that.
func TestARestoreThatIsCutOff(t *testing.T) {
	js := large(t)
	want := contentOf(t, js)
	file := backedUpFile(t, js)
	held := newStore(t).ready()
	w := watch(t, held)
	for part := range 5 {
		w.synced()
		ctx, cancel := context.WithCancel(t.Context())
		r := &cut{Reader: bytes.NewReader(file), check: true, left: part * len(file) / 5, meanwhile: cancel}
		if _, err := New(held).Restore(ctx, r, true); errors.Is(err, ErrHalfRestored) != (part > 0) || err == nil {
			t.Errorf("%d fifths: %v, want ErrHalfRestored but for the first", part, err)
		}
		if part == 0 {
			continue // nothing was touched
		}
		w.until("the views are of no store", func() bool {
			_, statuses := w.Statuses()
			return !w.Specs().Synced && !statuses && errors.Is(w.Health().Err, ErrRestoring)
		})
		if _, err := New(held).Restore(ctx, bytes.NewReader(file), true); err == nil {
			t.Error("restored over an ended context")
		}
		if _, err := EnsureBuckets(t.Context(), held); !errors.Is(err, ErrRestoring) {
			t.Errorf("%d fifths: %v, want ErrRestoring", part, err)
		}
		if bad, _ := New(held).Unreadable(t.Context()); len(bad) > 0 { // an error is of the bucket that is away
			t.Errorf("%d fifths: unreadable: %v", part, bad)
		}
		if _, err := New(held).Restore(t.Context(), bytes.NewReader(file), true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, contentOf(t, held)); diff != "" {
			t.Errorf("%d fifths, and restored again:\n%s", part, diff)
		}
	}
	w.synced()
}

// While a bucket is being filled NATS shows it already. Who watches sees it once it is whole.
func TestNobodySeesAStoreThatIsBeingRestored(t *testing.T) {
	js := large(t)
	file := backedUpFile(t, js)
	held := newStore(t).ready()
	w := watch(t, held)
	w.synced()
	r := &cut{Reader: bytes.NewReader(file), check: true, left: len(file) - 4096, meanwhile: func() {
		if s, err := held.Stream(t.Context(), streamName(BucketSpecs)); err != nil || s.CachedInfo().State.Msgs == 0 {
			t.Errorf("it is not there yet, or empty (%v): the test is void", err)
		}
		other := newMirror(held, w.specs.cfg) // of somebody who has just come
		if err := (&session[struct{}]{m: other}).run(t.Context(), nil); !errors.Is(err, ErrRestoring) {
			t.Errorf("a session began: %v", err)
		}
	}}
	if _, err := New(held).Restore(t.Context(), r, true); err != nil {
		t.Fatal(err)
	}
	w.until("the views show what was restored", func() bool {
		for i := range 10 {
			rev, ok := w.spec(fmt.Sprintf("model.default.m%d", i))
			if ok && w.Specs().Synced && rev.Revision < 40 {
				t.Fatalf("m%d is seen at revision %d", i, rev.Revision)
			}
		}
		e, ok := w.spec("model.default.m9")
		return ok && w.Specs().Synced && e.Revision == 50+2
	})
}

// A restore that was killed counts as over after ten minutes, unless it has left a bucket of
// which a part alone is there.
func TestAKilledRestoreIsOver(t *testing.T) {
	js := newStore(t).ready()
	s, err := js.Stream(t.Context(), streamName(BucketSpecs))
	if err != nil {
		t.Fatal(err)
	}
	there := s.CachedInfo().State.Msgs
	for name, tc := range map[string]struct {
		value string
		age   time.Duration
		want  bool
	}{
		"young":                {fmt.Sprintf(`{"revisions":{"dynctl_specs":%d}}`, there), restoreAtMost / 2, false},
		"whole":                {fmt.Sprintf(`{"revisions":{"dynctl_specs":%d}}`, there), 2 * restoreAtMost, true},
		"a part":               {fmt.Sprintf(`{"revisions":{"dynctl_specs":%d}}`, there+1), 2 * restoreAtMost, false},
		"a bucket is away":     {`{"revisions":{"dynctl_else":7}}`, 2 * restoreAtMost, true},
		"of an earlier dynctl": {`{}`, 2 * restoreAtMost, true},
		"nobody's":             {`[`, 2 * restoreAtMost, true},
	} {
		over, err := givenUp(t.Context(), js, entry{value: []byte(tc.value), at: time.Now().Add(-tc.age)})
		if err != nil || over != tc.want {
			t.Errorf("%s: %t, %v", name, over, err)
		}
	}
}
