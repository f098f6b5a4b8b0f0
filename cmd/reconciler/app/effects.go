package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// resendAfter is how long a command that changed nothing is believed to be on
	// its way; then it is asked again under a new id.
	resendAfter = 10 * time.Second
	// revokeTimeout bounds one revocation.
	revokeTimeout = 2 * time.Second
)

type sentCommand struct {
	at    time.Time
	tries int
}

// command does what of a plan is for the world. Revocations go first, because traffic
// still reaches a dead worker; then gates, which have to stand before what they keep out
// is there; then commands, which are stored when it returns: what is done beside them would
// keep them from the wire where cores are few. A failure of any part leaves the state as it
// is, and the next round sees that.
func (l *loop) command(ctx context.Context, term kv.Term, in actors.Input, r actors.Result) *commander {
	l.revoke(ctx, in, r.Revokes)
	l.gates(ctx, in, r)
	c := &commander{loop: l, term: term, in: in}
	for _, s := range r.Starts {
		c.start(ctx, s)
	}
	for _, e := range r.Stops {
		c.end(ctx, events.TypeStop, e)
	}
	for _, e := range r.Sweeps {
		c.end(ctx, events.TypeSweep, e)
	}
	c.send(ctx)
	return c
}

// report does what of it is for people.
func (l *loop) report(ctx context.Context, c *commander, r actors.Result, kept map[state.Key]accept.Kept) {
	in := c.in
	l.writeStatuses(ctx, in, r, kept)
	l.tellFacts(c.term, in, r, *c)
	l.tellUnreadable(c.term)
	if c.sent > 0 || len(r.Revokes) > 0 {
		l.app.log.Info("round", "starts", len(r.Starts), "stops", len(r.Stops), "sweeps", len(r.Sweeps), "revokes", len(r.Revokes),
			"waits", len(r.Waits), "published", c.sent, "took", time.Since(in.Now).Round(10*time.Microsecond))
	}
}

// revoke revokes leases, each once at a time, without holding up the round.
func (l *loop) revoke(ctx context.Context, in actors.Input, revokes []actors.Revoke) {
	for _, r := range revokes {
		if !l.app.revoking.begin(r.Lease) {
			continue
		}
		cause := revokeCause(in, r)
		go func() {
			defer l.app.revoking.end(r.Lease)
			ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
			defer cancel()
			began := time.Now()
			err := l.effects.revoke(ctx, r.Key.Server, r.Lease)
			logRevoke(l.app.log, r, cause, time.Since(began), err)
			l.app.frontends.Poke(r.Key.Server)
		}()
	}
}

// revokeCause is what a revocation rests on: the entry of the unit that told of
// the dead attempt, or the revision of the etcd in which nobody owns the lease.
func revokeCause(in actors.Input, r actors.Revoke) string {
	units := in.Observed.Units
	if i, found := slices.BinarySearchFunc(units, &state.Unit{Server: r.Key.Server, Unit: r.Key.Unit}, (*state.Unit).Compare); found {
		return causeID(events.Data{Server: r.Key.Server, Unit: r.Key.Unit}, units[i].Revision)
	}
	return fmt.Sprintf("etcd.%s@%d", r.Key.Server, in.Registered[r.Key.Server].Revision)
}

func logRevoke(log *slog.Logger, r actors.Revoke, cause string, took time.Duration, err error) {
	log = log.With("server", r.Key.Server, "unit", r.Key.Unit, "lease", strconv.FormatInt(r.Lease, 16), "reason", r.Reason, "causeId", cause)
	if err != nil {
		log.Warn("a lease was not revoked; it is tried again", "err", err)
		return
	}
	log.Info("revoked", "took", took)
}

// commander publishes the commands of one round.
type commander struct {
	loop *loop
	term kv.Term
	in   actors.Input
	way  []onItsWay // in the order in which they are sent
	sent int
	told []string
}

// onItsWay is a command that is to be sent.
type onItsWay struct {
	event events.Event
	id    string // without the tries
	tries int
	log   *slog.Logger
}

// atOnce is how many commands are on their way at most. Nobody has to wait for each before
// it sends the next, and many are one write to the disk of the store.
const atOnce = events.BatchMost

// scope is that of every command of the round.
func (c *commander) scope() actors.CommandScope {
	agent := c.in.Observed.Agent
	return actors.CommandScope{
		Protocol: state.SpokenProtocol().Common(agent.Speaks()), StoreID: c.in.Policy.StoreID, Session: agent.Session,
		Deadline: actors.CommandDeadline.Seconds(),
	}
}

// order is one command that is to be published.
type order struct {
	event   events.Event
	command any
	seen    uint64   // the revision of the observed entry that it rests on
	parts   []string // what it rests on besides
	// withheld is the template of which the command lacks the secrets; nil: it has all.
	withheld *actors.UnitTemplate
}

func (c *commander) start(ctx context.Context, s actors.Start) {
	t := s.Template
	shown, hides := t, false
	if c.in.Observed.Agent.Asks {
		shown, hides = t.Hidden()
	}
	var attempts []string
	for _, name := range slices.Sorted(maps.Keys(s.Attempts)) {
		attempts = append(attempts, fmt.Sprintf("%s=%d", name, s.Attempts[name].Number))
	}
	o := order{
		event: events.Event{Type: events.TypeStart, Object: t.Unit, Data: events.Data{
			Server: t.Server, Model: t.Model, Unit: t.Unit, Generation: t.Generation,
			SpecRevision: s.Revision, Reason: s.Reason, Message: s.Message,
		}},
		command: actors.StartCommand{CommandScope: c.scope(), Template: shown, Withheld: hides, Placement: s.Placement, Attempts: s.Attempts, Ahead: s.Ahead},
		seen:    s.Seen, parts: []string{strings.Join(attempts, ","), strconv.Itoa(s.Placement.Number)},
	}
	if hides {
		o.withheld = &t
	}
	c.publish(ctx, o)
}

func (c *commander) end(ctx context.Context, verb string, e actors.End) {
	c.publish(ctx, order{
		event: events.Event{Type: verb, Object: e.Key.Unit, Data: events.Data{
			Server: e.Key.Server, Model: e.Model, Unit: e.Key.Unit, Generation: e.Generation,
			SpecRevision: e.Revision, Reason: e.Reason, Message: e.Message,
		}},
		command: actors.EndCommand{CommandScope: c.scope(), GracePeriod: e.GracePeriod.Seconds(), Generation: e.Generation, Retires: e.Retires, Ahead: e.Ahead},
		seen:    e.Seen,
	})
}

// publish sends a command unless it is on its way already. What tells one command
// from another is what it rests on: the observed revision, the attempts, the
// agent's incarnation.
func (c *commander) publish(ctx context.Context, o order) {
	if !c.term.Held() {
		return
	}
	e := o.event
	parts := slices.Concat(o.parts, []string{strconv.FormatUint(o.seen, 10), strconv.FormatUint(c.in.Observed.Agent.Incarnation, 10)})
	e.Data.Epoch = c.term.Epoch
	id := e.CommandID(parts...)
	was, known := c.loop.sent[id]
	if known && c.in.Now.Sub(was.at) < resendAfter {
		return
	}
	if w := c.loop.writes; w.holdsCommands(state.ModelKey(e.Data.Server, e.Data.Model)) || w.holdsCommands(state.ServerKey(e.Data.Server)) {
		return // what it rests on is not stored yet
	}
	e.ID = id
	if known {
		was.tries++
		e.ID = e.CommandID(append(parts, "try", strconv.Itoa(was.tries))...)
	}
	e.Data.CauseID = causeID(e.Data, c.observed(e.Data, o.seen))
	log := c.loop.app.log.With("type", e.Type, "server", e.Data.Server, "unit", e.Data.Unit, "reason", e.Data.Reason,
		"causeId", e.Data.CauseID, "epoch", e.Data.Epoch)
	payload, err := json.Marshal(o.command)
	if err != nil {
		log.Error("a command cannot be encoded", "err", err)
		return
	}
	e.Data.Command, e.Time = payload, c.in.Now
	e.Source = c.loop.app.source()
	if e.Type == events.TypeStart {
		e.TraceParent = c.loop.app.traces.parent(e.Data)
	}
	if o.withheld != nil {
		c.loop.app.withheld.keep(e.ID, *o.withheld, c.in.Now)
	}
	c.way = append(c.way, onItsWay{e, id, was.tries, log})
	if len(c.way) >= atOnce {
		c.send(ctx)
	}
}

// send sends what is to be, waits until it is stored, and notes what is.
func (c *commander) send(ctx context.Context) {
	all := make([]events.Event, len(c.way))
	for i, w := range c.way {
		all[i] = w.event
	}
	for i, err := range c.loop.effects.commands(ctx, all) {
		w := c.way[i]
		e := w.event
		if err != nil {
			w.log.Error("a command was not published; it is tried again", "err", err)
			continue
		}
		w.log.Info("command", "id", e.ID)
		c.loop.app.traces.happened(e, true)
		if len(c.loop.sent) > 16384 {
			clear(c.loop.sent)
		}
		c.loop.sent[w.id] = sentCommand{at: c.in.Now, tries: w.tries}
		c.sent++
		c.told = append(c.told, e.Type+" "+e.Data.Server+"/"+e.Data.Unit+" ("+e.Data.Reason+")")
	}
	c.way = nil
}

// observed is the revision of the observed entry that a command rests on; 0 where
// that is the marker of a unit that is gone, for then it is the spec that asks.
func (c *commander) observed(d events.Data, seen uint64) uint64 {
	if c.in.Observed.Gone[state.UnitKey{Server: d.Server, Unit: d.Unit}] == seen {
		return 0
	}
	return seen
}

// causeID names what a decision rests on: a spec revision or an observed one.
func causeID(d events.Data, seen uint64) string {
	if seen != 0 {
		return fmt.Sprintf("unit.%s.%s@%d", d.Server, d.Unit, seen)
	}
	key := state.ServerKey(d.Server)
	if d.Model != "" {
		key = state.ModelKey(d.Server, d.Model)
	}
	return fmt.Sprintf("%s@%d", key, d.SpecRevision)
}

// writeStatuses stores what changed, by compare-and-swap. On a conflict the
// result is dropped: the next round has the newer value.
func (l *loop) writeStatuses(ctx context.Context, in actors.Input, r actors.Result, kept map[state.Key]accept.Kept) {
	before := storedOf{desired: in.Desired}
	var changed, fresh []state.Status
	var stay []*state.Status // that are not known to stand
	bad := l.unreadableStatuses()
	if hasAny(l.rewrite) {
		l.alike = nil // some of them are to be written though they are equal
	}
	l.heard.listen(in)
	waits := false
	for _, s := range l.alike.others(r.Statuses) {
		key, old := before.next(s)
		now := *s
		now.AcceptedSpec, now.Template = kept[key].Spec, kept[key].Template
		if old == nil {
			now.Revision = bad[s.Key] // what cannot be read is written over
		}
		switch {
		case !l.refused.due(s.Key, in.Now):
		case l.writes.covers(now):
		case old == nil:
			fresh = append(fresh, now)
		case l.rewrite[s.Key]:
			changed = append(changed, now)
		case l.heard.waits(*old, now), l.heard.waitsForAgent(in, *old, now):
			waits = true
		case !equalStatus(*old, now):
			changed = append(changed, now)
		default:
			continue
		}
		stay = append(stay, s)
	}
	l.alike = without(r.Statuses, stay)
	l.quiet.wroteAny = waits || len(changed)+len(fresh)+len(l.writes.under) > 0
	l.putStatuses(ctx, in.Now, append(changed, l.newest(fresh)...))
	if in.Desired.Synced && len(l.app.setAside.seen().values) > 0 { // else it is not known whose they are
		l.discard(ctx, standing(in, r))
	}
	l.removeStatuses(ctx, r.Gone)
}

// removeStatuses deletes those of objects that are gone.
func (l *loop) removeStatuses(ctx context.Context, gone []state.Key) {
	for _, k := range gone {
		if l.writes.holds(k) {
			continue // a delete that comes before a write would be undone by it
		}
		delete(l.written, k.String())
		delete(l.refused, k.String())
		if err := l.effects.deleteStatus(ctx, k); err != nil {
			l.app.log.Warn("a status was not removed; it is tried again", "key", k, "err", err)
		}
	}
}

// standing are the keys of what has a status or may have had one.
func standing(in actors.Input, r actors.Result) map[string]bool {
	out := map[string]bool{}
	for _, s := range r.Statuses {
		out[s.Key] = true
	}
	for _, k := range in.Desired.Awaited {
		out[k.String()] = true // what it was is still being found out
	}
	return out
}

// freshStatuses is how many objects get their first status in one round: each is a
// write to the disk, and a round has an end.
const freshStatuses = readFresh

// newest chooses which objects get their first status: those that were accepted, then
// the last that were written.
func (l *loop) newest(fresh []state.Status) []state.Status {
	if len(fresh) <= freshStatuses {
		return fresh
	}
	slices.SortStableFunc(fresh, func(x, y state.Status) int {
		if x, y := x.AcceptedRevision > 0, y.AcceptedRevision > 0; x != y {
			return first(x)
		}
		return cmp.Compare(y.ObservedRevision, x.ObservedRevision)
	})
	l.Kick()
	return fresh[:freshStatuses]
}
