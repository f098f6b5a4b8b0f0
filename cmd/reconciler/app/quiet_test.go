package app

import (
	"testing"
	"time"

	"dynctl/actors"
)

// Gates that stand keep no round from being left out, and one is made to renew them.
func TestQuietUntil(t *testing.T) {
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	renewal := map[gateTouch]time.Time{{server: "default", lease: 1}: now.Add(4 * time.Second), {server: "default", lease: 2}: now.Add(gateRenewal)}
	for name, tc := range map[string]struct {
		next     time.Time
		renewals map[gateTouch]time.Time
		want     time.Duration
	}{
		"nothing falls due":       {want: quietFor},
		"something does":          {now.Add(time.Second), nil, time.Second},
		"long after":              {now.Add(time.Minute), nil, quietFor},
		"gates stand":             {time.Time{}, renewal, gateRenewal},
		"something, before those": {now.Add(time.Second), renewal, time.Second},
	} {
		if got := quietUntil(now, tc.next, tc.renewals).Sub(now); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if n := gatesToPut(actors.Result{Gates: []actors.Gate{{Lease: 1}, {}, {Lease: 2}}}); n != 1 {
		t.Errorf("%d gates are to be put, want 1", n)
	}
}
