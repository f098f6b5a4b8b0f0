package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// newFacts are those of a round that the round before did not find: one that runs
// before the status of the last one has come back finds the same. What comes to
// pass again later is told again.
func newFacts(found []actors.Fact, before map[actors.Fact]bool) (fresh []actors.Fact, now map[actors.Fact]bool) {
	now = make(map[actors.Fact]bool, len(found))
	for _, f := range found {
		if !before[f] && !now[f] {
			fresh = append(fresh, f)
		}
		now[f] = true
	}
	return fresh, now
}

// tellFacts records what a round found out.
func (l *loop) tellFacts(term kv.Term, in actors.Input, r actors.Result, c commander) {
	fresh, now := newFacts(r.Facts, l.told)
	l.told = now
	for _, f := range fresh {
		e := events.Event{
			Type: f.Type, Object: objectOf(f),
			Data: events.Data{Server: f.Server, Model: f.Model, Unit: f.Unit, Generation: f.Generation,
				SpecRevision: f.Revision, Epoch: term.Epoch, Reason: f.Reason, Message: f.Message,
				CauseID: causeID(events.Data{Server: f.Server, Model: f.Model, SpecRevision: f.Revision}, 0)},
		}
		if f.Cause != "" {
			e.Data.CauseID = f.Cause
		}
		if f.Type == events.TypeRouterResolved || f.Type == events.TypeRouterApplied {
			e.Data.Detail = routerDetail(in, f)
		}
		l.effects.fact(e)
	}
	if c.sent > 0 {
		l.effects.fact(events.Event{Type: events.TypePlan, Object: "plan", Data: events.Data{
			Epoch: term.Epoch, Reason: "Planned", Message: strings.Join(c.told, "; "),
		}})
	}
	l.tellOrphans(term, r.Orphans)
	l.tellAgent(term, in)
}

func objectOf(f actors.Fact) string {
	switch {
	case f.Type == events.TypeRouterResolved:
		return f.Server // also where one model caused it
	case f.Unit != "":
		return f.Unit
	case f.Model != "":
		return f.Model
	}
	return f.Server
}

// routerDetail is the answer that a fact about routing tells of: the server's, or
// what its frontend or a model carries.
func routerDetail(in actors.Input, f actors.Fact) json.RawMessage {
	detail := struct {
		state.RouterStatus
		Models []string `json:"models"`
	}{Models: []string{}}
	if f.Models != "" {
		detail.Models = strings.Split(f.Models, ",")
	}
	applied := f.Type == events.TypeRouterApplied
	// Both are sorted, and there may be a fact of each.
	if i, ok := slices.BinarySearchFunc(in.Desired.Servers, f.Server, func(s actors.DesiredServer, name string) int { return cmp.Compare(s.Name, name) }); ok {
		if detail.RouterStatus = in.Desired.Servers[i].Router; applied {
			detail.RouterStatus = in.Desired.Servers[i].Template.Router
		}
	}
	if applied && f.Model != "" {
		i, ok := slices.BinarySearchFunc(in.Desired.Models, f, func(m *actors.DesiredModel, f actors.Fact) int {
			return cmp.Or(cmp.Compare(m.Server, f.Server), cmp.Compare(m.Name, f.Model))
		})
		if ok {
			detail.RouterStatus = in.Desired.Models[i].Router
		}
	}
	b, err := json.Marshal(detail)
	if err != nil {
		return nil // plain data: it marshals
	}
	return b
}

// tellOrphans reports each orphan once for as long as it stands.
func (l *loop) tellOrphans(term kv.Term, orphans []actors.Orphan) {
	now := map[state.UnitKey]string{}
	for _, o := range orphans {
		now[o.Key] = o.Reason
		if l.orphans[o.Key] == o.Reason {
			continue
		}
		l.effects.fact(events.Event{Type: events.TypeOrphanFound, Object: o.Key.Unit, Data: events.Data{
			Server: o.Key.Server, Unit: o.Key.Unit, Epoch: term.Epoch, Reason: o.Reason, Message: o.Message,
		}})
	}
	l.orphans = now
}

// tellAgent reports an agent that comes and goes.
func (l *loop) tellAgent(term kv.Term, in actors.Input) {
	l.tellAgentFailure(term, in.AgentFailure)
	a := in.Observed.Agent
	if a == nil || l.heard.awaitsAgent(in) {
		return
	}
	e, told := agentFact(l.agent, *a, a.Synced && a.Silence(in.Now) <= in.Policy.AgentTimeout)
	if told == l.agent {
		return
	}
	l.agent = told
	e.Data.Epoch = term.Epoch
	l.effects.fact(e)
}

// agentTold is which agent was last told of, and whether as one that is there.
type agentTold struct {
	up          bool
	incarnation uint64
}

// agentFact is what there is to tell of an agent, and what was told once that is; the same
// as before where it is nothing, as of a new incarnation that has not rebuilt its view yet.
func agentFact(was agentTold, a state.Agent, up bool) (events.Event, agentTold) {
	now := agentTold{up, a.Incarnation}
	switch {
	case up:
		return events.Event{Type: events.TypeAgentConnected, Object: fmt.Sprint(a.Incarnation), Data: events.Data{Reason: "AgentConnected",
			Message: fmt.Sprintf("incarnation %d on %s, Ray session %s", a.Incarnation, a.NodeIP, a.Session)}}, now
	case !was.up:
		return events.Event{}, was
	}
	message := fmt.Sprintf("incarnation %d is silent since %s", a.Incarnation, a.At.UTC().Format(time.RFC3339))
	if was.incarnation != a.Incarnation { // it was followed before its silence was seen
		message = fmt.Sprintf("incarnation %d is gone, and incarnation %d reads what runs in its place", was.incarnation, a.Incarnation)
	}
	return events.Event{Type: events.TypeAgentLost, Object: fmt.Sprint(was.incarnation), Data: events.Data{Reason: actors.WaitAgentLost,
		Message: message + "; what runs keeps running"}}, now
}

// tellAgentFailure reports once why no agent stays, and again when that is another cause.
func (l *loop) tellAgentFailure(term kv.Term, f *state.AgentFailure) {
	message := ""
	if f != nil {
		message = f.Message
	}
	if message == l.agentFailure {
		return
	}
	l.agentFailure = message
	if f == nil {
		return
	}
	l.effects.fact(events.Event{Type: events.TypeAgentLost, Object: cmp.Or(f.Job, "job"), Data: events.Data{
		Epoch: term.Epoch, Reason: actors.FailureReason(*f), Message: f.String(),
	}})
}

func (l *loop) becameLeader(t kv.Term) {
	l.app.log.Info("leader", "epoch", t.Epoch)
	l.app.metrics.leader(true)
	l.forget()
	l.heard.led = time.Now()
	l.effects.fact(events.Event{Type: events.TypeLeaderElected, Object: l.app.cfg.ID,
		Data: events.Data{Epoch: t.Epoch, Reason: "LeaderElected", Message: "reconciler " + l.app.cfg.ID + " acts"}})
	l.app.supervise(t)
}

func (l *loop) lostLeadership(t kv.Term) {
	l.app.log.Warn("no longer the leader", "epoch", t.Epoch)
	l.app.metrics.leader(false)
	l.effects.fact(events.Event{Type: events.TypeLeaderLost, Object: l.app.cfg.ID,
		Data: events.Data{Epoch: t.Epoch, Reason: "LeaderLost", Message: "reconciler " + l.app.cfg.ID + " stands by"}})
}
