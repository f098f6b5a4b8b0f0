package app

import (
	"testing"
	"time"
)

// Rounds begin when the buckets are read, or when one of them has not been for long, and then
// go on whatever becomes of the buckets.
func TestRoundsBeginWhenTheBucketsAreRead(t *testing.T) {
	l, now := loop{}, time.Unix(100, 0)
	for _, step := range []struct {
		after  time.Duration
		loaded bool
		wait   time.Duration
	}{
		{0, false, loadPatience}, {time.Second, false, loadPatience - time.Second}, {time.Second, true, 0}, {time.Hour, false, 0},
	} {
		if now = now.Add(step.after); l.toBeRead(now, step.loaded) != step.wait {
			t.Errorf("loaded %t after %s: waits %s, want %s", step.loaded, step.after, l.toBeRead(now, step.loaded), step.wait)
		}
	}
	l = loop{}
	l.toBeRead(now, false)
	if l.toBeRead(now.Add(loadPatience), false) != 0 {
		t.Error("a bucket that cannot be read keeps what is known from being shown")
	}
}
