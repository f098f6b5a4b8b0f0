package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// startStore starts a NATS as the reconciler embeds it, which syncs each write, and returns
// its address.
func startStore(tb testing.TB) (url string) {
	tb.Helper()
	server, err := natsd.Start(natsd.Options{Host: "127.0.0.1", Port: -1, StoreDir: tb.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), rigPatience)
		defer done()
		if err := server.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
	})
	return server.URL()
}

// lastOn is the last message that was stored under a subject of the events or of a bucket.
func (r *rig) lastOn(subject string) []byte {
	r.tb.Helper()
	stream := events.Stream
	if subject[0] == '$' {
		stream = "KV_" + kv.BucketObserved
	}
	s, err := connectTo(r.tb, r.url()).Stream(r.tb.Context(), stream)
	if err != nil {
		r.tb.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(r.tb.Context(), subject)
	if err != nil {
		r.tb.Fatalf("%s: %v", subject, err)
	}
	return m.Data
}

// floor does no more than the writes without which nothing changes: something is put into
// a bucket, a second client sees it and publishes a command, a third one receives that.
// The bucket and the stream are its own, on files that are synced as those of the product.
type floor struct {
	tb      testing.TB
	bucket  jetstream.KeyValue
	carrier jetstream.JetStream
	command []byte
	stored  chan time.Time // when a command was
	wire    chan time.Time // when one was received, unless one before it was not looked at yet
	wired   atomic.Int64   // how many were received
}

const floorBucket, floorStream, floorSubject = "floor", "FLOOR", "floor.start"

func newFloor(tb testing.TB, url string, command []byte) *floor {
	tb.Helper()
	ctx := tb.Context()
	f := &floor{tb: tb, carrier: connectTo(tb, url), command: command, stored: make(chan time.Time, 1), wire: make(chan time.Time, 1)}
	js := connectTo(tb, url)
	var err error
	if f.bucket, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: floorBucket, History: 16, Storage: jetstream.FileStorage}); err != nil {
		tb.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: floorStream, Subjects: []string{floorSubject + ".>"}, Storage: jetstream.FileStorage, AllowDirect: true}); err != nil {
		tb.Fatal(err)
	}
	nc := connectTo(tb, url).Conn()
	_, err = nc.Subscribe(floorSubject+".>", func(*nats.Msg) {
		f.wired.Add(1)
		select {
		case f.wire <- time.Now():
		default: // of many nobody looks at each
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// carry has each change that is seen answered by publish, until the test ends.
func (f *floor) carry(publish func(subject string) error) {
	f.tb.Helper()
	bucket, err := f.carrier.KeyValue(f.tb.Context(), floorBucket)
	if err != nil {
		f.tb.Fatal(err)
	}
	w, err := bucket.WatchAll(f.tb.Context(), jetstream.UpdatesOnly())
	if err != nil {
		f.tb.Fatal(err)
	}
	var carrying sync.WaitGroup
	f.tb.Cleanup(func() { _ = w.Stop(); carrying.Wait() })
	carrying.Go(func() {
		for {
			select {
			case <-f.tb.Context().Done():
				return
			case e := <-w.Updates():
				if e == nil {
					continue // all that was there before
				}
				if err := publish(floorSubject + "." + e.Key()); err != nil {
					f.tb.Error(err)
				}
			}
		}
	})
}

// changes puts a value so often, each when the command before is stored. It tells how long
// each took until its command was received, as the rig tells it of the reconciler, and
// until it was stored.
func (f *floor) changes(value []byte) (wire, stored []time.Duration) {
	f.tb.Helper()
	for i := range changesMeasured {
		began := time.Now()
		if _, err := f.bucket.Put(f.tb.Context(), fmt.Sprintf("one.%d", i), value); err != nil {
			f.tb.Fatal(err)
		}
		wire = append(wire, f.await(f.wire).Sub(began))
		stored = append(stored, f.await(f.stored).Sub(began))
	}
	return wire, stored
}

func (f *floor) await(c <-chan time.Time) time.Time {
	f.tb.Helper()
	select {
	case at := <-c:
		return at
	case <-time.After(rigPatience):
		f.tb.Fatal("the floor's own command was not seen")
		return time.Time{}
	}
}

// measureFloors measures the floor of a put and that of an exit, on the store beside what
// else it holds.
func measureFloors(b *testing.B, url string, command, report []byte) {
	b.Helper()
	f := newFloor(b, url, command)
	f.carry(func(subject string) error {
		_, err := f.carrier.Publish(b.Context(), subject, f.command)
		f.stored <- time.Now()
		return err
	})
	for what, value := range map[string][]byte{"put": []byte(modelDocument(modelName(0))), "exit": report} {
		wire, stored := f.changes(value)
		reportTimes(b, "floor-"+what, wire)
		reportTimes(b, "floor-"+what+"-stored", stored)
	}
}

// measureFloorAtOnce measures that many puts at once on a store of their own, alone and with
// a command for each: until the last is stored, or received.
func measureFloorAtOnce(b *testing.B, models int, command []byte) {
	b.Helper()
	f := newFloor(b, startStore(b), command)
	f.putAtOnce("warm", 100) // a store's first writes make its files
	began := time.Now()
	f.putAtOnce("alone", models)
	b.ReportMetric(time.Since(began).Seconds(), "floor-put-all-s")
	f.carry(func(subject string) error {
		_, err := f.carrier.PublishAsync(subject, f.command)
		return err
	})
	began = time.Now()
	f.putAtOnce("carried", models)
	for f.wired.Load() < int64(models) {
		f.await(f.wire)
	}
	b.ReportMetric(time.Since(began).Seconds(), "floor-all-started-s")
}

func (f *floor) putAtOnce(prefix string, models int) {
	f.tb.Helper()
	together(models, func(i int) {
		if _, err := f.bucket.Put(f.tb.Context(), prefix+"."+modelName(i), []byte(modelDocument(modelName(i)))); err != nil {
			f.tb.Error(err)
		}
	})
}
