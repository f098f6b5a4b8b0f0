package app

import (
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/policy"
	"dynctl/state/same"
)

// quietFor is how long no round is made at most while nothing changes: what nobody thought
// of is found then.
const quietFor = 5 * time.Second

// quiet is what a round rested on that left nothing to do. As long as that is the same and
// nothing falls due, the next round would conclude the same, and is not made.
type quiet struct {
	is       bool // the last round left nothing to do
	until    time.Time
	term     *kv.Term
	news     kv.News
	input    actors.Input
	policy   *policy.Policy
	asked    bool // the loop was asked for a round since, whatever has changed
	wroteAny bool // the round under way writes statuses
}

// noticed is called before a round reads anything, so that what changes meanwhile counts for
// the next.
func (l *loop) noticed() kv.News {
	select {
	case <-l.again:
		l.quiet.asked = true
	default:
	}
	return l.app.views.News()
}

// staysQuiet reports whether the round that is due would conclude what the last one did. It
// shows the agent's last heartbeat, which is all that is new.
func (l *loop) staysQuiet(now time.Time, term *kv.Term, news kv.News) bool {
	q := &l.quiet
	if !q.is || q.asked || q.term != term || q.news != news || !now.Before(q.until) || !l.sameBeside() {
		q.is, q.asked = false, false
		return false
	}
	s := l.app.snapshot.Load()
	observed := l.app.views.Observed()
	observed.Agent = l.app.heardAgent(observed.Agent, now)
	in := s.input
	in.Now, in.Observed = now, observed
	if !isHeard(in) {
		q.is = false
		return false
	}
	l.app.look(in, s.result)
	l.app.metrics.rested()
	l.app.page.Changed()
	return true
}

// sameBeside reports whether what is no bucket's has not changed either.
func (l *loop) sameBeside() bool {
	a, in := l.app, &l.quiet.input
	failure := a.agentFailure()
	if failure != nil || a.storeFull() != in.StoreFull || a.policies.inForce() != l.quiet.policy || a.views.StoreID() != in.Policy.StoreID ||
		len(a.elector.Unreadable()) > 0 {
		return false
	}
	return sameRegistrations(a.registry.Snapshot(), in.Registered) && sameFrontends(a.frontends.Snapshot(), in.Frontends)
}

// rest notes after a round whether the next one may be left out.
func (l *loop) rest(term *kv.Term, news kv.News, in actors.Input, r actors.Result) {
	q := &l.quiet
	left := len(r.Starts) + len(r.Stops) + len(r.Sweeps) + len(r.Revokes) + gatesToPut(r) + len(r.Lifts) + len(r.Gone) + len(r.Facts) +
		len(r.Suspects) + len(r.Unclaimed) + len(r.Whole) + len(in.Desired.Awaited)
	open := len(l.written) + len(l.writes.under) + len(l.refused) + len(l.broken) + len(l.app.setAside.pending) + len(l.app.setAside.seen().values)
	*q = quiet{
		is:   left+open == 0 && !q.wroteAny && in.Desired.Synced && isHeard(in) && in.AgentFailure == nil && !hasAny(l.rewrite),
		term: term, news: news, input: in, policy: l.app.policies.inForce(), until: quietUntil(in.Now, r.NextCheck, l.touched),
	}
}

// quietUntil is when a round is made whatever changes: next is what the plan asks for, zero
// where nothing falls due, and gates that stand are to be renewed.
func quietUntil(now, next time.Time, renewals map[gateTouch]time.Time) time.Time {
	until := now.Add(quietFor)
	if !next.IsZero() && next.Before(until) {
		until = next
	}
	for _, due := range renewals {
		if due.Before(until) {
			until = due
		}
	}
	return until
}

// gatesToPut counts those that do not stand yet.
func gatesToPut(r actors.Result) (n int) {
	for _, g := range r.Gates {
		if g.Lease == 0 {
			n++
		}
	}
	return n
}

// isHeard reports whether it is known what runs.
func isHeard(in actors.Input) bool {
	return in.Observed.Synced && in.Observed.Agent != nil && in.Observed.Agent.Silence(in.Now) <= in.Policy.AgentTimeout
}

func hasAny(set map[string]bool) bool {
	for _, in := range set {
		if in {
			return true
		}
	}
	return false
}

func sameRegistrations(a, b map[string]state.Registrations) bool {
	if len(a) != len(b) {
		return false
	}
	for server, x := range a {
		y, ok := b[server]
		if !ok || x.Known != y.Known || x.Err != y.Err || x.ClusterID != y.ClusterID || !same.Bits(&x.Instances, &y.Instances) ||
			!same.Bits(&x.Gates, &y.Gates) || !same.Bits(&x.Lost, &y.Lost) || !same.Bits(&x.Left, &y.Left) || !same.Bits(&x.Members, &y.Members) {
			return false
		}
	}
	return true
}

func sameFrontends(a, b map[string]state.FrontendView) bool {
	if len(a) != len(b) {
		return false
	}
	for server, x := range a {
		y, ok := b[server]
		if !ok || x.Known != y.Known || x.Err != y.Err || !same.Bits(&x.Models, &y.Models) {
			return false
		}
	}
	return true
}
