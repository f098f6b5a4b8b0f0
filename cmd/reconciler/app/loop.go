package app

import (
	"context"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
)

// idleRound bounds the time between two rounds, for what no watch announces: a
// heartbeat that stays away.
const idleRound = 500 * time.Millisecond

// loop is the reconciler proper: kicked by any watch, a timer or a change of
// leadership, it reads the whole state, plans, and carries the plan out. Nothing
// is decided anywhere else.
type loop struct {
	app     *App
	effects effects
	kick    chan struct{} // a round is due
	again   chan struct{} // and is made whatever has changed
	next    time.Time     // when a round is due whatever changes
	past    past
	quiet   quiet
	begun   bool      // rounds are made, see toBeRead
	late    time.Time // when they begin at the latest
	memory
}

func newLoop(a *App) *loop {
	return &loop{app: a, effects: adapters{a}, kick: make(chan struct{}, 1), again: make(chan struct{}, 1), memory: newMemory(a)}
}

// statusRoom is what a status needs beside the spec and the template, in bytes.
const statusRoom = 256 << 10

// Kick asks for a round. Any number of kicks before it starts make one round.
func (l *loop) Kick() {
	signal(l.again)
	signal(l.kick)
}

// look asks for a round if what the views show has changed.
func (l *loop) look() { signal(l.kick) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run makes rounds until ctx ends.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer l.writes.wg.Wait()
	var term *kv.Term
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-l.app.elector.Leadership(): // this reconciler may act from now on
			term = &t
			l.becameLeader(t)
		case <-l.writes.signal: // a status is stored, or was refused
			l.noteStatuses()
			continue
		case <-l.kick: // a bucket has changed, or a round has left something over
			if own := l.putOff(); own > 0 {
				timer.Reset(own)
				continue
			}
		case <-l.app.registry.Kick(): // a server's etcd has changed, or cannot be read
		case <-l.app.frontends.Kick(): // a frontend answers otherwise
		case <-timer.C: // something falls due by time alone, or nothing woke it for a while
		}
		if term != nil && term.Ctx.Err() != nil {
			l.lostLeadership(*term)
			term = nil
		}
		if wait := l.toBeRead(time.Now(), l.app.views.Loaded()); wait > 0 {
			timer.Reset(wait)
			continue
		}
		timer.Reset(l.once(ctx, term))
	}
}

// toBeRead is how long the first round still waits for the buckets to be read: zero once they
// are, of which each of them tells the loop. Nothing is decided and nobody leads before that, so
// a round would read and judge all that is there in vain. Where one cannot be read rounds are made
// all the same, later, to show what is known.
func (l *loop) toBeRead(now time.Time, loaded bool) time.Duration {
	if l.begun {
		return 0
	}
	if l.late.IsZero() {
		l.late = now.Add(loadPatience)
	}
	l.begun = loaded || !now.Before(l.late)
	if l.begun {
		return 0
	}
	return l.late.Sub(now)
}

// once makes one round and says when the next one is due at the latest.
func (l *loop) once(ctx context.Context, term *kv.Term) time.Duration {
	l.noteStatuses()
	began, news := time.Now(), l.noticed()
	l.askForBeat(ctx, began)
	if l.staysQuiet(began, term, news) {
		l.app.metrics.planned(time.Since(began))
		return l.ended(l.quiet.until)
	}
	l.lookForUnreadable(began)
	l.oracle.begin(began)
	in, kept := l.gather(began)
	l.want(ctx, in.Desired.Awaited)
	result := l.plan(in)
	l.app.metrics.planned(time.Since(began))
	l.app.traces.round(in, result, l.putAt, term != nil && term.Held())
	l.act(term, in, result, kept)
	l.rest(term, news, in, result)
	return l.ended(result.NextCheck)
}

// act has a plan carried out by a leader, and shown by any. Nobody waits for the latter as
// long as there is something to command.
func (l *loop) act(term *kv.Term, in actors.Input, r actors.Result, kept map[state.Key]accept.Kept) {
	if term == nil || !term.Held() {
		l.aim(in)
		l.app.show(in, r)
		return
	}
	l.suspects, l.unclaimed, l.whole = r.Suspects, r.Unclaimed, r.Whole
	ctx := term.Acting()
	c := l.command(ctx, *term, in, r)
	l.aim(in)
	l.app.show(in, r)
	l.report(ctx, c, r, kept)
	l.warm(ctx, *term, in, r.Warm)
}

// ended notes that a round has ended, and says when the next one is due at the latest, if
// something falls due at a time.
func (l *loop) ended(due time.Time) time.Duration {
	ended := time.Now()
	l.app.roundAt.Store(&ended)
	next := idleRound
	if !due.IsZero() {
		next = min(next, max(due.Sub(ended), time.Millisecond))
	}
	l.next = ended.Add(next)
	return next
}

// gather reads the whole state as of now.
func (l *loop) gather(now time.Time) (actors.Input, map[state.Key]accept.Kept) {
	specs := l.app.views.Specs()
	statuses, statusesLoaded := l.stored()
	observed := l.app.views.Observed()
	observed.Agent = l.app.heardAgent(observed.Agent, now)
	observed.Synced = observed.Synced && protocolMismatch(observed.Agent) == nil
	documents, complete := l.documents(specs, statuses, observed.Units, time.Now().Add(readFor))
	desired, kept := l.oracle.accept(accept.Input{
		Synced:   specs.Synced && statusesLoaded && complete,
		Entries:  documents,
		Statuses: statuses, Restated: l.inForce.changed, Confirmed: specs.Confirmed, Units: observed.Units, Nodes: observed.Nodes,
		Parsers: l.parsers.Of(observed.Nodes), Policy: l.app.policies.inForce(),
		Created: specs.Created, Recover: true, Observed: observed.Synced, StoreID: l.app.views.StoreID(), Lost: l.lost(statuses), Past: l.past.known(),
		MaxStatus: int(l.app.nc.MaxPayload()) - statusRoom, MaxStored: int(2 * l.app.cfg.Limits.CurrentBytes),
	})
	policy := actors.DefaultPolicy(l.app.views.StoreID())
	policy.RayNamespace = l.app.cfg.RayNamespace
	return actors.Input{
		Now: now, Policy: policy, Desired: desired, Observed: observed, Suspects: l.suspects, Unclaimed: l.unclaimed, Whole: l.whole,
		Registered: l.app.registry.Snapshot(), Frontends: l.app.frontends.Snapshot(), AgentFailure: l.app.agentFailure(), StoreFull: l.app.storeFull(),
	}, kept
}

// putAt is when the revision of a spec was written; zero where the bucket has
// another one by now.
func (l *loop) putAt(key state.Key, revision uint64) time.Time {
	for _, e := range l.app.views.Specs().Entries {
		if e.Key == key.String() && e.Revision == revision {
			return e.At
		}
	}
	return time.Time{}
}

// subjectToken makes any text fit to end a subject.
func subjectToken(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, strings.Trim(s, "."))
}

// lost are the objects in the place of whose status something unreadable stands.
func (l *loop) lost(statuses map[state.Key]state.Status) map[state.Key]bool {
	out := map[state.Key]bool{}
	for key := range l.unreadableStatuses() {
		k, err := state.ParseKey(key)
		if _, known := statuses[k]; err == nil && !known {
			out[k] = true
		}
	}
	return out
}
