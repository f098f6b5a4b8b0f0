package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryLimit is how much memory the program takes before it collects garbage more
	// often than by Go's own rule, which lets it grow to twice what is in use.
	memoryLimit = 256 << 20
	// memoryRoom is what it may grow by at least between two collections, as a part of
	// what is in use: a large fleet needs its processor for other things.
	memoryRoom = 4
	// memoryEvery is how often that is looked at.
	memoryEvery = time.Second
)

// boundMemory keeps the memory of this program near what is in use, until ctx ends.
// GOMEMLIMIT and GOGC in the environment take precedence.
func boundMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		return
	}
	debug.SetMemoryLimit(memoryLimit)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			metrics.Read(live)
			used := int64(live[0].Value.Uint64()) //nolint:gosec // below 2^63
			debug.SetMemoryLimit(max(memoryLimit, used+used/memoryRoom))
		}
	}
}
