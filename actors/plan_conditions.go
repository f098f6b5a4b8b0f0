package actors

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/state"
)

func (p *planner) registeredCondition(c *conditions, m *modelView) {
	if !m.server.regs.Known && m.server.infra != nil {
		c.set(state.CondRegistered, state.StatusUnknown, CondEtcdUnreachable, orElse(m.server.regs.Err, "Dynamo's etcd does not answer yet"))
		return
	}
	desired, have := m.counts(func(v unitView) bool { return v.registered && !v.stopping })
	if desired == 0 || have < desired {
		c.set(state.CondRegistered, state.StatusFalse, CondNotRegistered, fmt.Sprintf("%d of %d workers are registered in Dynamo's etcd", have, desired))
		return
	}
	c.set(state.CondRegistered, state.StatusTrue, CondOK, fmt.Sprintf("%d of %d workers are registered in Dynamo's etcd", have, desired))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// routerCondition asks the frontend: it must list the model, and name the wanted
// generation with all its worker types.
func (p *planner) routerCondition(c *conditions, m *modelView) {
	if !m.server.frontend.Known {
		c.set(state.CondRouterReady, state.StatusFalse, CondFrontendDown, orElse(m.server.frontend.Err, "the frontend does not answer yet"))
		return
	}
	fm := m.server.frontend.Models[m.Spec.ServedName]
	namespace := Namespace(m.server.Spec.DynamoNamespace, m.template.Generation)
	ns, ok := fm.Namespaces[namespace]
	gated := slices.ContainsFunc(m.server.regs.Gates, func(g state.Gate) bool { return g.Namespace == namespace })
	switch {
	case gated && !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, CondNotListed, "this generation gets requests once every role of it can serve")
	case !fm.Listed || !ok:
		c.set(state.CondRouterReady, state.StatusFalse, CondNotListed, "the frontend does not list this generation")
	case !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, CondNotListed, "the frontend misses "+strings.Join(ns.Missing, ", "))
	default:
		c.set(state.CondRouterReady, state.StatusTrue, CondOK, "")
	}
}

// readyCondition is the conjunction; the first condition that fails says why.
func (p *planner) readyCondition(c *conditions, m *modelView) {
	if m.gone {
		c.set(state.CondReady, state.StatusFalse, CondDeleting, "its units are being stopped")
		return
	}
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondRegistered, state.CondRouterReady} {
		if x := c.get(typ); x.Status != state.StatusTrue {
			c.set(state.CondReady, x.Status, x.Reason, x.Message)
			return
		}
	}
	if m.fellBack {
		c.set(state.CondReady, state.StatusFalse, CondRolledBack, "the accepted generation does not start; the previous one serves")
		return
	}
	c.set(state.CondReady, state.StatusTrue, CondOK, "")
}

// availableCondition says whether a request would be served now, by any
// generation: that is the frontend's word alone.
func (p *planner) availableCondition(c *conditions, m *modelView) {
	fm, ok := m.server.frontend.Models[m.Spec.ServedName]
	switch {
	case !m.server.frontend.Known:
		c.set(state.CondAvailable, state.StatusFalse, CondFrontendDown, orElse(m.server.frontend.Err, "the frontend does not answer yet"))
	case ok && fm.Listed && fm.Ready:
		c.set(state.CondAvailable, state.StatusTrue, CondOK, "")
	default:
		ready := c.get(state.CondReady)
		c.set(state.CondAvailable, state.StatusFalse, orElse(notOK(ready.Reason), CondNotListed), ready.Message)
	}
}

func notOK(reason string) string {
	if reason == CondOK {
		return ""
	}
	return reason
}

func (p *planner) upToDateCondition(c *conditions, m *modelView) {
	old := len(m.stray)
	for _, r := range m.roles {
		old += len(r.old)
	}
	switch {
	case m.held && m.server.held > 0:
		c.set(state.CondUpToDate, state.StatusFalse, CondDeletionHeld, m.server.heldMessage)
	case m.held:
		c.set(state.CondUpToDate, state.StatusFalse, CondDeletionHeld, "it was deleted without dynctl; it stops after the hold unless it is written again")
	case m.SpecMissing && m.Deleted == nil:
		c.set(state.CondUpToDate, state.StatusFalse, CondSpecMissing, missingMessage(m.Accepted))
	case m.fellBack, m.giveUp:
		c.set(state.CondUpToDate, state.StatusFalse, CondRolledBack, fmt.Sprintf("generation %s does not start%s; generation %s is kept until the spec is edited",
			m.Template.Generation, m.lastExit(), m.Previous.Generation))
	case m.Rejected != nil || m.Accepted != m.Revision:
		c.set(state.CondUpToDate, state.StatusFalse, CondOldRevision, fmt.Sprintf("revision %d runs, %d was asked for", m.Accepted, m.Revision))
	case m.stalled != "":
		c.set(state.CondUpToDate, state.StatusFalse, WaitRolloutStalled, m.stalled)
	case m.rolling() && m.failing():
		c.set(state.CondUpToDate, state.StatusFalse, WaitRolloutStalled, "the new generation does not start"+m.lastExit()+"; the old one keeps serving")
	case m.rolling() && !m.gone:
		c.set(state.CondUpToDate, state.StatusFalse, CondRolling, fmt.Sprintf("%d units of old generations are left", old))
	case m.rollEnds():
		desired, have := m.counts(ready)
		c.set(state.CondUpToDate, state.StatusFalse, CondRolling, fmt.Sprintf("%d of %d replicas of the new generation are ready", have, desired))
	case m.Outdated:
		c.set(state.CondUpToDate, state.StatusFalse, CondRendererChanged, "this version renders another command for the same spec; `dynctl restart model/"+m.Name+"` adopts it")
	default:
		c.set(state.CondUpToDate, state.StatusTrue, CondOK, "")
	}
}

// rollEnds reports whether a roll has no old unit left and replicas of the new generation
// are still to come: until they are ready it is not complete.
func (m *modelView) rollEnds() bool {
	if m.Status == nil || m.Status.Generation != m.template.Generation {
		return false
	}
	was, _ := m.Status.Condition(state.CondUpToDate)
	if was.Reason != CondRolling && was.Reason != WaitRolloutStalled {
		return false
	}
	desired, have := m.counts(ready)
	return have < desired
}

func (m *modelView) lastExit() string {
	for _, v := range m.units() {
		for _, a := range v.Actors {
			if ended(a) != nil && a.Failures > 0 && v.Generation == m.Template.Generation {
				return " (" + exitMessage(a) + ")"
			}
		}
	}
	return ""
}

// endpoint is the server's OpenAI base URL; empty until its frontend has a port.
func (s *serverView) endpoint() string {
	if s.infra == nil {
		return ""
	}
	for _, a := range s.infra.Actors {
		if port, ok := a.Ports[PortHTTP]; ok && a.IP != "" {
			return fmt.Sprintf("http://%s:%d/v1", a.IP, port)
		}
	}
	return ""
}

func (p *planner) serverStatus(s *serverView) {
	key := state.ServerKey(s.Name)
	if p.acting && !p.serverWanted(s) && s.Rejected == nil && s.infra == nil && len(s.units) == 0 && len(s.foreign) == 0 {
		if s.Status == nil {
			return
		}
		p.out.Gone = append(p.out.Gone, key)
		if s.Deleted != nil {
			p.fact(Fact{Type: FactSpecDeleted, Server: s.Name, Revision: s.Revision, Reason: ReasonDeleted, Message: "nothing of it is left"})
		}
		return
	}
	st := state.Status{Key: key.String(), Kind: state.KindServer, Server: s.Name,
		ObservedRevision: s.Revision, AcceptedRevision: s.Accepted, ObservedIn: s.RevisionIn, AcceptedIn: s.AcceptedIn, Generation: s.Template.Generation, Endpoint: s.endpoint()}
	router := s.Template.Router
	if s.Router != (state.RouterStatus{}) {
		router = s.Router
	}
	st.Router = &router
	if s.Status != nil {
		st.Revision = s.Status.Revision
	}
	if s.Status != nil && !p.in.Observed.Synced {
		st.Placements, st.Endpoint = s.Status.Placements, s.Status.Endpoint
	}
	if s.infra != nil {
		st.Placements = append(st.Placements, placement(*s.infra, s.infra.State == state.UnitRunning))
	}
	c := &conditions{now: p.in.Now, failing: p.in.AgentFailure, was: s.Status}
	p.acceptedCondition(c, s.Rejected, s.Accepted, s.Warnings)
	if s.SpecMissing {
		p.missingCondition(c, s.Accepted)
	}
	p.serverConditions(c, s)
	st.Conditions = c.list
	p.serverFacts(s, &st)
	p.out.Statuses = append(p.out.Statuses, st)
}

func (p *planner) serverConditions(c *conditions, s *serverView) {
	if !p.blind(c, state.CondScheduled) {
		switch {
		case s.blocked != "":
			c.set(state.CondScheduled, state.StatusFalse, s.blocked, s.blockedMessage)
		case s.infra == nil || s.infra.PlacementGroup.State != "CREATED":
			c.set(state.CondScheduled, state.StatusFalse, CondPending, "the infra unit is being placed")
		default:
			c.set(state.CondScheduled, state.StatusTrue, CondOK, "")
		}
	}
	switch {
	case s.regs.Known:
		c.set(state.CondRegistered, state.StatusTrue, CondOK, "")
	default:
		c.set(state.CondRegistered, state.StatusUnknown, CondEtcdUnreachable, orElse(s.regs.Err, "Dynamo's etcd does not answer yet"))
	}
	if s.frontend.Known {
		c.set(state.CondRouterReady, state.StatusTrue, CondOK, "")
		c.set(state.CondAvailable, state.StatusTrue, CondOK, "")
	} else {
		reason, message := s.whyNoFrontend()
		c.set(state.CondRouterReady, state.StatusFalse, reason, message)
		c.set(state.CondAvailable, state.StatusFalse, reason, message)
	}
	ready := state.StatusTrue
	reason, message := CondOK, ""
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondRegistered, state.CondRouterReady} {
		if x := c.get(typ); x.Status != state.StatusTrue {
			ready, reason, message = x.Status, x.Reason, x.Message
			break
		}
	}
	c.set(state.CondReady, ready, reason, message)
	if s.heldMessage != "" {
		c.set(state.CondUpToDate, state.StatusFalse, CondDeletionHeld, s.heldMessage)
	} else if s.Deleted != nil && len(s.models) > 0 {
		c.set(state.CondUpToDate, state.StatusFalse, CondDeletionHeld, fmt.Sprintf("it was deleted and still has %d models; delete them, or write the server again", len(s.models)))
	} else if s.SpecMissing && s.Deleted == nil {
		c.set(state.CondUpToDate, state.StatusFalse, CondSpecMissing, missingMessage(s.Accepted))
	} else {
		c.set(state.CondUpToDate, state.StatusTrue, CondOK, "")
	}
}

// whyNoFrontend says what keeps the frontend from answering.
func (s *serverView) whyNoFrontend() (reason, message string) {
	if s.infra != nil {
		i := slices.IndexFunc(s.infra.Actors, func(a state.Actor) bool { return a.Exit != nil && a.State != state.UnitRunning })
		if i >= 0 {
			a := s.infra.Actors[i]
			message := exitMessage(a)
			if a.Exit.Cause == "" {
				message += lastLine(a.Exit.LogTail)
			}
			return orElse(a.Exit.Reason, CondFrontendDown), message
		}
	}
	return CondFrontendDown, orElse(s.frontend.Err, "the frontend does not answer yet")
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	if log == "" {
		return ""
	}
	return ": " + log[strings.LastIndexByte(log, '\n')+1:]
}
