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

// tell has a refusal told, with the number of those that were not since the last.
func (r *refusals) tell(now time.Time, say func(before int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && now.Sub(r.last) < refusalsEvery {
		r.untold++
		return
	}
	say(r.untold)
	r.last, r.untold = now, 0
}

func tellRefused(log *slog.Logger, who string, before int) {
	log.Warn("nats: a client without a credential of this store was not let in", "client", who, "before", before,
		"fix", "make one for it: dynctl creds add publisher --server SERVER --password --out FILE (docs/operations.md#who-is-let-in)")
}

func tellHandshake(log *slog.Logger, who string, before int) {
	log.Warn("nats: a client does not speak TLS, or does not accept the certificate", "client", who, "before", before,
		"fix", "give it the authority of the certificate, and dial a name that the certificate has (docs/operations.md#tls)")
}
