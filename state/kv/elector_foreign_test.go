package kv

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Whoever writes over the lease holds nothing by it: the leader goes on in its term,
// and a reconciler that comes later leads after the time of one lease.
func TestForeignLease(t *testing.T) {
	for name, value := range map[string]string{"garbage": "garbage", "a lease that never expires": `{"holder":"x","epoch":1}`, "an epoch beyond all": `{"holder":"x","epoch":18446744073709551615}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStore(t)
			js := st.ready()
			var said strings.Builder
			c := runElector(t, js, ElectorOptions{ID: "r1", Log: slog.New(slog.NewTextHandler(&said, nil))})
			term := c.term()
			bucket := must(js.KeyValue(t.Context(), BucketLease))(t)
			foreign := func(span time.Duration) {
				for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(LeaseRenew / 2) {
					must(bucket.PutString(t.Context(), keyLeader, value))(t)
				}
			}
			foreign(2 * LeaseTTL)
			if found := c.FoundUnreadable(); len(found) == 0 || !found[0].OfTheLease() {
				t.Errorf("found %v", found)
			}
			c.stopHolding(term, &said)
			done := make(chan struct{})
			go func() { defer close(done); foreign(3 * LeaseTTL) }()
			began := time.Now()
			if next := runElector(t, st.dial(), ElectorOptions{ID: "r2"}).term(); next.Epoch <= term.Epoch {
				t.Errorf("epoch %d after %d", next.Epoch, term.Epoch)
			}
			t.Logf("led after %s", time.Since(began))
			<-done
		})
	}
}

// A genuine lease is respected, whatever is written beside it.
func TestGenuineLeaseBesideAForeignOne(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	var said strings.Builder // of the first alone
	first := runElector(t, js, ElectorOptions{ID: "r1", Log: slog.New(slog.NewTextHandler(&said, nil))})
	term := first.term()
	second := runElector(t, st.dial(), ElectorOptions{ID: "r2"})
	bucket := must(js.KeyValue(t.Context(), BucketLease))(t)
	for end := time.Now().Add(3 * LeaseTTL); time.Now().Before(end) && term.Held(); time.Sleep(LeaseRenew / 2) {
		must(bucket.PutString(t.Context(), keyLeader, "garbage"))(t)
		select {
		case other := <-second.Leadership():
			if term.Held() {
				t.Fatalf("two lead: epoch %d beside %d", other.Epoch, term.Epoch)
			}
		default:
		}
	}
	first.stopHolding(term, &said)
}

// stopHolding ends a candidate whose term must not have ended by itself, except where the
// machine was too busy to renew the lease in time. said is its log.
func (c *candidate) stopHolding(term Term, said *strings.Builder) {
	c.t.Helper()
	held := term.Held()
	c.stop()
	switch {
	case held:
	case strings.Contains(said.String(), "lease ran out"):
		c.t.Logf("too busy to renew a lease of %s in time: %s", LeaseTTL, said)
	default:
		c.t.Errorf("the term ended: %s", said)
	}
}

// blindJS is a store whose answers to reads get lost while lost is above 0.
type blindJS struct {
	jetstream.JetStream
	lost atomic.Int32
}

func (b *blindJS) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if b.lost.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return b.JetStream.Stream(ctx, name)
}

// Whose the lease is now cannot be read: the term goes on until its time is over, and the
// lease is written again once it can.
func TestALeaseThatCannotBeReadIsNotLost(t *testing.T) {
	st := newStore(t)
	js := &blindJS{JetStream: st.ready()}
	c := runElector(t, js, ElectorOptions{ID: "r1"})
	term := c.term()
	bucket := must(js.KeyValue(t.Context(), BucketLease))(t)
	js.lost.Store(2)
	must(bucket.PutString(t.Context(), keyLeader, "garbage"))(t)
	for js.lost.Load() > 0 && term.Ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	for term.Ctx.Err() == nil {
		entry := must(bucket.Get(t.Context(), keyLeader))(t)
		if strings.Contains(string(entry.Value()), `"r1"`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the term ended")
}

// What the counter of epochs says is not believed where it jumps; the agent's word is,
// and a term that the agent refuses ends.
func TestEpochsThatJump(t *testing.T) {
	for _, counter := range []string{"garbage", "18446744073709551615", "18446744073709551616", "-1", "9007199254740993", "5000000"} {
		st := newStore(t)
		js := st.ready()
		var seen atomic.Uint64
		seen.Store(7)
		must(must(js.KeyValue(t.Context(), BucketLease))(t).PutString(t.Context(), keyEpoch, counter))(t)
		c := runElector(t, js, ElectorOptions{ID: "r1", Seen: seen.Load})
		term := c.term()
		if term.Epoch != 8 {
			t.Errorf("%s: epoch %d, want 8", counter, term.Epoch)
		}
		seen.Store(20)
		if next := c.term(); next.Epoch != 21 || term.Held() {
			t.Errorf("%s: epoch %d, want 21; the first is held: %v", counter, next.Epoch, term.Held())
		}
		c.stop()
	}
}
