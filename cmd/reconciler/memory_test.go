package main

import (
	"testing"
	"time"
)

// A start may take more memory before it is collected than what rests, and what a large fleet
// has in use leaves room in any case.
func TestMemoryIsBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		used int64
		age  time.Duration
		want int64
	}{
		"begins":          {0, 0, memoryAtStart},
		"still starts":    {200 << 20, startsFor - 1, memoryAtStart},
		"rests":           {200 << 20, startsFor, memoryLimit},
		"starts very big": {400 << 20, 0, 500 << 20},
		"rests very big":  {400 << 20, time.Hour, 500 << 20},
	} {
		if got := limitOf(tc.used, tc.age); got != tc.want {
			t.Errorf("%s: %d MiB, want %d", name, got>>20, tc.want>>20)
		}
	}
}
