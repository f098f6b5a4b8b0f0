package events

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func newPublisher(t *testing.T, js jetstream.JetStream, o PublisherOptions) *Publisher {
	t.Helper()
	p, err := NewPublisher(js, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closeWithin(p, time.Millisecond) })
	return p
}

func closeWithin(p *Publisher, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return p.Close(ctx)
}

func TestPublish(t *testing.T) {
	t.Run("and wait", func(t *testing.T) {
		testPublish(t, func(ctx context.Context, p *Publisher, e Event) error { return p.Publish(ctx, e) })
	})
	t.Run("and wait later", func(t *testing.T) {
		testPublish(t, func(ctx context.Context, p *Publisher, e Event) error { return p.Begin(ctx, e)() })
	})
}

func testPublish(t *testing.T, publish func(context.Context, *Publisher, Event) error) {
	t.Helper()
	b := newBroker(t)
	js := b.dial()
	p := newPublisher(t, js, PublisherOptions{})
	ctx := t.Context()
	if err := publish(ctx, p, testEvent(0)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without the stream: %v", err)
	}
	if err := EnsureStream(ctx, js); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the repeat is dropped by the stream
		if err := publish(ctx, p, testEvent(0)); err != nil {
			t.Fatal(err)
		}
	}
	inOrder(t, stored(t, js), 1)
	bad := testEvent(1)
	bad.Source = ""
	if err := publish(ctx, p, bad); !errors.Is(err, ErrInvalid) {
		t.Errorf("invalid: %v", err)
	}
	huge := testEvent(1)
	huge.Data.Message = strings.Repeat("x", 2<<20)
	if err := publish(ctx, p, huge); !errors.Is(err, ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	b.stop()
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := publish(limited, p, testEvent(1)); !errors.Is(err, ErrUnavailable) || time.Since(start) > 3*time.Second {
		t.Errorf("without NATS: %v after %s", err, time.Since(start))
	}
	b.start()
	inOrder(t, stored(t, b.dial()), 1) // nothing is sent late
}

// What is begun before anything is waited for is stored in that order; what cannot be
// answered any more fails when it is waited for, and is not sent late.
func TestBeginKeepsOrder(t *testing.T) {
	b := newBroker(t)
	p := newPublisher(t, b.ready(), PublisherOptions{})
	const n = 300
	var waits []func() error
	for i := range n {
		waits = append(waits, p.Begin(t.Context(), testEvent(i)))
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	inOrder(t, stored(t, b.dial()), n)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	b.stop()
	wait, late := p.Begin(t.Context(), testEvent(n)), p.Begin(over, testEvent(n))
	for _, err := range []error{wait(), late()} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("without NATS: %v", err)
		}
	}
	b.start()
	inOrder(t, stored(t, b.dial()), n)
}

func TestEnsureStream(t *testing.T) {
	js := newBroker(t).dial()
	ctx := t.Context()
	for range 2 {
		if err := EnsureStream(ctx, js); err != nil {
			t.Fatal(err)
		}
	}
	s, err := js.Stream(ctx, Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.MaxAge != 7*24*time.Hour || c.MaxBytes != 1<<30 || c.Duplicates != 2*time.Minute || c.Discard != jetstream.DiscardOld ||
		c.Storage != jetstream.FileStorage || len(c.Subjects) != 1 || c.Subjects[0] != "dynctl.events.>" {
		t.Errorf("%+v", c)
	}
	if err := js.DeleteStream(ctx, Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: Stream, Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	if err := EnsureStream(ctx, js); err == nil || !strings.Contains(err.Error(), "dynctl.events.>") {
		t.Errorf("a stream of another kind: %v", err)
	}
}

// TestAStreamThatIsDeletedIsMadeAgain: nothing that was recorded meanwhile is lost, and
// commands go out again.
func TestAStreamThatIsDeletedIsMadeAgain(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	p := newPublisher(t, js, PublisherOptions{})
	if err := js.DeleteStream(t.Context(), Stream); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		recordSoon(t, p, i)
	}
	if err := closeWithin(p, 20*time.Second); err != nil || p.Dropped() != 0 {
		t.Errorf("%v, dropped %d", err, p.Dropped())
	}
	inOrder(t, stored(t, js), 3)
}

func TestRecordKeepsOrderOverAnOutage(t *testing.T) {
	for _, row := range []struct {
		name string
		opts PublisherOptions
	}{
		{"in memory", PublisherOptions{}},
		{"on disk", PublisherOptions{Memory: 64, Dir: t.TempDir()}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBroker(t)
			js := b.ready()
			p := newPublisher(t, js, row.opts)
			const n = 900
			for i := range 300 {
				recordSoon(t, p, i)
			}
			b.stop()
			for i := 300; i < n; i++ {
				recordSoon(t, p, i)
			}
			if p.Spooled() < 500 {
				t.Errorf("%d spooled", p.Spooled())
			}
			b.start()
			if err := closeWithin(p, 20*time.Second); err != nil {
				t.Error(err)
			}
			if p.Dropped() != 0 || p.Spooled() != 0 {
				t.Errorf("dropped %d, spooled %d", p.Dropped(), p.Spooled())
			}
			inOrder(t, stored(t, b.dial()), n)
		})
	}
}

// recordSoon records without outrunning a small spool: with a directory, memory
// is emptied in the background.
func recordSoon(t *testing.T, p *Publisher, i int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for before := p.Dropped(); ; {
		start := time.Now()
		p.Record(testEvent(i))
		if d := time.Since(start); d > 5*time.Second {
			t.Fatalf("Record blocked for %s", d)
		}
		if p.Dropped() == before {
			return
		}
		before = p.Dropped()
		p.dropped.Add(^uint64(0)) // taken back: it is recorded again
		before--
		if time.Now().After(deadline) {
			t.Fatal("the spool does not move to disk")
		}
	}
}

func TestRecordDropsPastTheBound(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	b.stop()
	p := newPublisher(t, js, PublisherOptions{Memory: 10})
	for i := range 25 {
		p.Record(testEvent(i))
	}
	if p.Dropped() != 15 || p.Spooled() != 10 {
		t.Errorf("dropped %d, spooled %d", p.Dropped(), p.Spooled())
	}
	if err := closeWithin(p, 10*time.Millisecond); !errors.Is(err, ErrUnflushed) {
		t.Errorf("close: %v", err)
	}
	p.Record(testEvent(99))
	if p.Dropped() != 26 {
		t.Errorf("dropped %d after the close, want 26", p.Dropped())
	}
}

func TestDiskBound(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	b.stop()
	p := newPublisher(t, js, PublisherOptions{Memory: 8, Dir: t.TempDir(), MaxBytes: 2000})
	deadline := time.Now().Add(10 * time.Second)
	bytes := func() int64 {
		p.disk.mu.Lock()
		defer p.disk.mu.Unlock()
		return p.disk.bytes
	}
	for i := 0; bytes() == 0 || p.Dropped() < 8; i++ {
		p.Record(testEvent(i))
		if time.Now().After(deadline) {
			t.Fatalf("dropped %d, spooled %d", p.Dropped(), p.Spooled())
		}
	}
	if bytes() > 2000 {
		t.Errorf("%d bytes on disk", bytes())
	}
}

func TestSpoolOutlivesTheProcess(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	dir := t.TempDir()
	b.stop()
	opts := PublisherOptions{Memory: 64, Dir: dir}
	const n = 600
	for run := range 3 {
		p := newPublisher(t, js, opts)
		for i := run * n / 3; i < (run+1)*n/3; i++ {
			recordSoon(t, p, i)
		}
		if err := closeWithin(p, 10*time.Millisecond); !errors.Is(err, ErrUnflushed) {
			t.Errorf("close: %v", err)
		}
		if p.Dropped() != 0 {
			t.Errorf("dropped %d", p.Dropped())
		}
	}
	// A torn line, as after a power cut.
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"specversion":"1.0","id":"to`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.start()
	p := newPublisher(t, js, opts)
	if p.Spooled() != n+1 {
		t.Errorf("%d spooled at the start, want %d", p.Spooled(), n+1)
	}
	if err := closeWithin(p, 20*time.Second); err != nil {
		t.Error(err)
	}
	if p.Dropped() != 1 {
		t.Errorf("dropped %d, want the torn line", p.Dropped())
	}
	inOrder(t, stored(t, b.dial()), n)
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 || filepath.Base(files[0]) != unreadableFile {
		t.Errorf("left behind: %v, want the torn line alone", files)
	}
}

// A stream that has no room takes neither commands nor facts; both go on when it
// has room again.
func TestFullStream(t *testing.T) {
	js := newBroker(t).dial()
	ctx := t.Context()
	cfg := jetstream.StreamConfig{
		Name: Stream, Subjects: []string{SubjectPrefix + ".>"}, MaxMsgs: 2, Discard: jetstream.DiscardNew,
	}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, js, PublisherOptions{})
	for i := range 2 {
		if err := p.Publish(ctx, testEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Publish(ctx, testEvent(2)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("full: %v", err)
	}
	for i := 2; i < 6; i++ {
		p.Record(testEvent(i))
	}
	cfg.MaxMsgs = 100
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := closeWithin(p, 20*time.Second); err != nil {
		t.Error(err)
	}
	inOrder(t, stored(t, js), 6)
}

func TestUnusableSpoolDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewPublisher(newBroker(t).dial(), PublisherOptions{Dir: filepath.Join(file, "x")}); err == nil {
		t.Error("a directory below a file is taken")
	}
}
