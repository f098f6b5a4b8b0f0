package kv

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// ElectorOptions of NewElector.
type ElectorOptions struct {
	// ID names this reconciler in the lease; it must be its alone.
	ID string
	// Version is that of this program; whoever reads the lease learns it.
	Version string
	// Seen returns the highest epoch that is known from elsewhere (the agent), to
	// stay above it when the lease bucket was lost; nil: none is. It must not block.
	Seen func() uint64
	// AgentFailure is what the lease says of the agent, asked at each renewal; nil:
	// nothing. It must not block.
	AgentFailure func() *state.AgentFailure
	// RayNotice is the same of the Ray cluster.
	RayNotice func() *state.RayNotice
	// Standby is the same of the agent that is to wait beside the one in charge.
	Standby func() *state.StandbyAgent
	// Replicas is that of the [Limits], for a bucket that has to be made again.
	Replicas int
	// Log is told about terms and trouble; nil: nobody is.
	Log *slog.Logger
}

// Elector takes part in the election of the one reconciler that acts.
//
// The lease is a key that its holder rewrites three times in the time that it lasts,
// which the lease itself says (see pace). A standby takes it by compare-and-swap on the
// revision that it saw: when it is deleted (the holder left), when the NATS server that
// has the holder's connection tells that this has ended (see presence), or when it has not
// changed for the time that it lasts on the standby's own monotonic clock. A holder acts
// over the connection alone on which the last renewal succeeded, and steps down before
// the lease is over since it sent that. So no two clocks need agree. The store drops the
// key by itself after LeaseTTL too.
type Elector struct {
	js    jetstream.JetStream
	opts  ElectorOptions
	terms chan Term

	bucket *mirror[struct{}] // wakes, and finds what is no lease

	pace    pace     // of renewals; of Run's goroutine alone
	answers patience // of what else is asked; of Run's goroutine alone
	ended   uint64   // epoch of the last term here; of Run's goroutine alone
	tried   uint64   // epoch of the last campaign; of Run's goroutine alone

	mu      sync.Mutex
	leader  *Lease // as last seen; nil: none
	highest uint64 // epoch that was ever seen in the store
	// heard is when the watch last delivered a lease: of two values that follow fast on
	// each other a look may find the second one only.
	heard time.Time
}

// NewElector makes an elector; Run takes part.
func NewElector(js jetstream.JetStream, o ElectorOptions) *Elector {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Seen == nil {
		o.Seen = func() uint64 { return 0 }
	}
	if o.RayNotice == nil {
		o.RayNotice = func() *state.RayNotice { return nil }
	}
	if o.Standby == nil {
		o.Standby = func() *state.StandbyAgent { return nil }
	}
	if o.AgentFailure == nil {
		o.AgentFailure = func() *state.AgentFailure { return nil }
	}
	e := &Elector{js: js, opts: o, terms: make(chan Term, 1)}
	e.bucket = newMirror(js, mirrorConfig[struct{}]{
		bucket: BucketLease, parse: e.parse, kick: func() {},
		absent: func(ctx context.Context) error {
			bucket := leaseBucket
			bucket.replicas = o.Replicas
			return bucket.ensure(ctx, js)
		},
	})
	return e
}

// Leadership delivers each term that this elector wins. A term that nobody has
// taken from the channel when the next one begins is replaced by it.
func (e *Elector) Leadership() <-chan Term { return e.terms }

// Leader is the lease as last seen; false: nobody held it.
func (e *Elector) Leader() (Lease, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leader == nil {
		return Lease{}, false
	}
	return *e.leader, true
}

// Run takes part until ctx ends, then releases the lease if it is held and
// returns nil. Trouble with NATS ends a term, not Run. It may be called once.
func (e *Elector) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	watched, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.watch(watched, wake) })
	defer wg.Wait()
	defer stop()
	var seen observedLease
	for ctx.Err() == nil {
		wait := e.look(ctx, &seen)
		if wait <= 0 {
			if rev, lease, held := e.campaign(ctx, seen); held != nil {
				e.lead(ctx, rev, lease, held)
				seen, e.ended = observedLease{}, lease.Epoch
				continue
			}
			// Somebody else was faster, or NATS is away: look again soon.
			seen = seen.retry()
			wait = LeaseRenew / 10
		}
		e.await(ctx, &seen, wait, wake)
	}
	return nil
}

// observedLease is a revision of the lease and since when it has stood unchanged.
type observedLease struct {
	rev     uint64 // of the lease, or of what stands in its place; 0: there is neither
	since   time.Time
	present bool
	// foreign: what stands there is no lease; since counts from the last that was.
	foreign bool
	lease   Lease // where it is one
	// left: whoever wrote this revision does not hold the lease any more.
	left bool
}

// retry is what is left of it after a campaign that failed.
func (o observedLease) retry() observedLease {
	if o.foreign {
		return o
	}
	return observedLease{}
}

// look reads the lease and returns how long to wait before it may be taken.
func (e *Elector) look(ctx context.Context, seen *observedLease) time.Duration {
	entry, err := e.last(ctx, keyLeader)
	switch {
	case isNotFound(err):
		*seen = observedLease{}
		e.setLeader(nil)
		return 0
	case err != nil:
		// Not to be told from a lease that stands: it has to be seen unchanged.
		return LeaseRenew
	case entry.deleted:
		*seen = observedLease{rev: entry.rev}
		e.setLeader(nil)
		return 0
	}
	l, err := parseLease(entry, e.known())
	if err != nil {
		// No reconciler wrote it, so nobody holds anything by it. Whoever held the lease
		// before it was written over holds it still, and gets the time of one to say so.
		if seen.since.IsZero() {
			seen.since = time.Now()
		}
		if heard := e.lastHeard(); heard.After(seen.since) {
			seen.since = heard
		}
		seen.rev, seen.foreign = entry.rev, true
		return time.Until(seen.since.Add(LeaseTTL))
	}
	if !seen.present || seen.rev != entry.rev || seen.foreign {
		e.setLeader(&l)
		// Counted from after the read: the holder sent it earlier than that.
		*seen = observedLease{rev: entry.rev, since: time.Now(), present: true, lease: l}
	}
	switch {
	case seen.left:
		e.opts.Log.Warn("the connection of the leader to NATS has ended", "leader", l.Holder, "epoch", l.Epoch)
		return 0
	case l.Holder == e.opts.ID && (l.Epoch == e.ended || l.Epoch == e.tried):
		// Left over from a term that ended here while it could not be released, or from a
		// campaign that was won and never heard so.
		return 0
	}
	return time.Until(seen.since.Add(l.lasts()))
}

// campaign tries to take the lease at the revision that was seen.
func (e *Elector) campaign(ctx context.Context, seen observedLease) (rev uint64, l Lease, held *holding) {
	epoch, err := e.nextEpoch(ctx)
	if err != nil {
		e.opts.Log.Debug("no epoch to be had", "error", err)
		return 0, Lease{}, nil
	}
	e.tried = epoch
	sent, over := time.Now(), linkOf(e.js.Conn())
	l = Lease{Holder: e.opts.ID, Epoch: epoch, Since: sent.UTC(), Version: e.opts.Version, LastsMS: LeaseTTL.Milliseconds()}
	err = e.answers.ask(ctx, func(ctx context.Context) error {
		rev, err = e.write(ctx, l, seen.rev)
		return err
	})
	if err != nil {
		e.opts.Log.Debug("lease not won", "epoch", epoch, "error", err)
		return 0, Lease{}, nil
	}
	held = &holding{nc: e.js.Conn()}
	held.extend(sent, l.lasts(), over)
	return rev, l, held
}

// nextEpoch reserves an epoch above every one that is known. Reserving comes
// before taking the lease: an epoch is given out once, even if its owner is
// paused between the two, and one that is not used leaves a gap.
func (e *Elector) nextEpoch(ctx context.Context) (uint64, error) {
	entry, err := e.last(ctx, keyEpoch)
	if err != nil && !isNotFound(err) {
		return 0, err
	}
	known := e.known()
	stored, err := parseEpoch(entry, known)
	if err != nil {
		stored = 0 // as if absent
	}
	next := 1 + max(stored, known)
	return next, e.answers.ask(ctx, func(ctx context.Context) error {
		_, err := put(ctx, e.js, write{
			bucket: BucketLease, key: keyEpoch, value: []byte(strconv.FormatUint(next, 10)), ifRev: &entry.rev,
		})
		return err
	})
}

// last reads a key of the lease bucket.
func (e *Elector) last(ctx context.Context, key string) (got entry, err error) {
	err = e.answers.ask(ctx, func(ctx context.Context) error {
		got, err = last(ctx, e.js, BucketLease, key)
		return err
	})
	return got, err
}

// write stores the lease by compare-and-swap, with its TTL.
func (e *Elector) write(ctx context.Context, l Lease, rev uint64) (uint64, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	// Unlike put with revision 0, publish does not look for a delete marker: the
	// revision given is the marker's own.
	return publish(ctx, e.js, write{bucket: BucketLease, key: keyLeader, value: value, ifRev: &rev, ttl: LeaseTTL})
}

// watch wakes the standby when the lease changes. It only saves time: the lease
// is read every second all the same.
func (e *Elector) watch(ctx context.Context, wake chan<- struct{}) {
	e.bucket.cfg.kick = func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	e.bucket.run(ctx)
}
