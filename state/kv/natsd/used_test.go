package natsd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// uses is what is done to the streams of a store by right, by name.
type uses map[string]func(ctx context.Context, js jetstream.JetStream) error

func TestUsedBucketsAreNotDamaged(t *testing.T) {
	uses{
		"nothing": func(context.Context, jetstream.JetStream) error { return nil },
		"purged": func(ctx context.Context, js jetstream.JetStream) error {
			s, err := js.Stream(ctx, "KV_specs")
			return errors.Join(err, s.Purge(ctx))
		},
		"deleted": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteKeyValue(ctx, "specs") },
		"deleted and made": func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "other"})
			err = errors.Join(err, js.DeleteKeyValue(ctx, "specs"))
			_, again := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "specs"})
			return errors.Join(err, again)
		},
		"keys purged": func(ctx context.Context, js jetstream.JetStream) error {
			kv, err := js.KeyValue(ctx, "specs")
			for i := range 50 {
				err = errors.Join(err, kv.Purge(ctx, fmt.Sprintf("key.%d", i)))
			}
			return err
		},
		"written over": func(ctx context.Context, js jetstream.JetStream) error {
			kv, err := js.KeyValue(ctx, "specs")
			for i := range 300 {
				_, put := kv.Put(ctx, fmt.Sprintf("key.%d", i%3), make([]byte, 100_000))
				err = errors.Join(err, put)
			}
			return err
		},
	}.areNoDamage(t)
}

func TestUsedStreamsAreNotDamaged(t *testing.T) {
	uses{
		"begins above one": func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, FirstSeq: 1000})
			return err
		},
		"every message expired": func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxAge: 200 * time.Millisecond})
			for range 20 {
				_, pub := js.Publish(ctx, "s", make([]byte, 1<<20))
				err = errors.Join(err, pub)
			}
			for err == nil {
				s, look := js.Stream(ctx, "S")
				if err = look; err == nil && s.CachedInfo().State.Msgs == 0 {
					break
				}
			}
			return err
		},
		"erased": func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
			for range 10 {
				_, pub := js.PublishMsg(ctx, &nats.Msg{Subject: "s", Header: nats.Header{"A": {"b"}}, Data: []byte("x")})
				err = errors.Join(err, pub)
			}
			s, look := js.Stream(ctx, "S")
			return errors.Join(err, look, s.SecureDeleteMsg(ctx, 4), s.SecureDeleteMsg(ctx, 10), s.DeleteMsg(ctx, 9))
		},
	}.areNoDamage(t)
}

// areNoDamage wants a store to be found whole after each use.
func (u uses) areNoDamage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, use := range u {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			s := start(t, Options{StoreDir: dir})
			js, done := dial(t, s)
			if err := use(ctx, js); err != nil {
				t.Fatal(err)
			}
			done()
			stop(t, s)
			for range 2 {
				found, err := verify(dir)
				if err != nil || len(found.faults)+len(found.denied)+len(found.torn) > 0 {
					t.Fatalf("%v %v %v %v", err, found.faults, found.denied, found.torn)
				}
				stop(t, start(t, Options{StoreDir: dir}))
			}
		})
	}
}
