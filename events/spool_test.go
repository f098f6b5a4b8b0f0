package events

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A pause grows while nothing changes, and ends when the connection is back.
func TestAPauseEndsWithTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan nats.Status, 10)
		delay, began := retryFirst, time.Now()
		for range 6 {
			delay = pause(t.Context(), delay, back)
		}
		if waited := time.Since(began); delay != retryMax || waited != 31*retryFirst+retryMax {
			t.Errorf("after %s the next pause is %s", waited, delay)
		}
		began = time.Now()
		time.AfterFunc(time.Millisecond, func() { back <- nats.CONNECTED })
		if delay = pause(t.Context(), delay, back); delay != retryFirst || time.Since(began) != time.Millisecond {
			t.Errorf("with the connection it lasted %s, and the next is %s", time.Since(began), delay)
		}
	})
}

// An answer that was lost with the connection is not waited for; one that comes is.
func TestAnAnswerIsAwaitedUntilTheConnectionIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan nats.Status, 10)
		back <- nats.CONNECTED // long ago
		if err := untilBack(t.Context(), back, func(context.Context) error { time.Sleep(time.Second); return nil }); err != nil {
			t.Error("an answer that came:", err)
		}
		time.AfterFunc(time.Second, func() { back <- nats.CONNECTED })
		began := time.Now()
		err := untilBack(t.Context(), back, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("an answer that was lost: %v after %s", err, time.Since(began))
		}
	})
}
