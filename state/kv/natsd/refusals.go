package natsd

import (
	"log/slog"
	"sync"
	"time"
)

// refusalsEvery is how often it is told that clients were not let in: one that is not
// tries again several times a second.
const refusalsEvery = time.Minute

// refusals counts the clients that were not let in.
type refusals struct {
	mu     sync.Mutex
	last   time.Time // when it was told
	untold int
}

// tell logs a refusal, with the number of those that were not told since the last.
func (r *refusals) tell(log *slog.Logger, who string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && now.Sub(r.last) < refusalsEvery {
		r.untold++
		return
	}
	log.Warn("nats: a client without a credential of this store was not let in", "client", who, "before", r.untold,
		"fix", "make one for it: dynctl creds add publisher --server SERVER --password --out FILE (docs/operations.md#who-is-let-in)")
	r.last, r.untold = now, 0
}
