package app

import "time"

// Waits between two tries to write the same status.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// retries spaces the tries to write what the store refuses, such as a status that it
// has no room for: without them every round would try again.
type retries map[string]retry

type retry struct {
	next time.Time
	wait time.Duration
}

// due reports whether a key may be tried at a time.
func (r retries) due(key string, now time.Time) bool { return !now.Before(r[key].next) }

// failed notes a try that failed, and returns how long the next one waits.
func (r retries) failed(key string, now time.Time) time.Duration {
	wait := min(max(firstRetry, 2*r[key].wait), lastRetry)
	r[key] = retry{next: now.Add(wait), wait: wait}
	return wait
}
