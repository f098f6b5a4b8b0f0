package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

func (r *round) registeredCondition(c *conditions, m *model) {
	if !m.server.regs.Known && m.server.infra != nil {
		c.set(state.CondRegistered, state.StatusUnknown, actors.CondEtcdUnreachable, cmp.Or(m.server.regs.Err, "Dynamo's etcd does not answer yet"))
		return
	}
	desired, have := m.counts(func(v *unit) bool { return v.registered && !v.is(leaving) })
	if desired == 0 || have < desired {
		c.set(state.CondRegistered, state.StatusFalse, actors.CondNotRegistered, fmt.Sprintf("%d of %d workers are registered in Dynamo's etcd", have, desired))
		return
	}
	c.set(state.CondRegistered, state.StatusTrue, actors.CondOK, fmt.Sprintf("%d of %d workers are registered in Dynamo's etcd", have, desired))
}

// routerCondition asks the frontend: it must list the model, and name the wanted
// generation with all its worker types.
func (r *round) routerCondition(c *conditions, m *model) {
	if !m.server.frontend.Known {
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondFrontendDown, cmp.Or(m.server.frontend.Err, "the frontend does not answer yet"))
		return
	}
	fm := m.server.frontend.Models[m.Spec.ServedName]
	namespace := actors.Namespace(m.server.Spec.DynamoNamespace, m.inForce.Generation)
	ns, ok := fm.Namespaces[namespace]
	gated := slices.ContainsFunc(m.server.regs.Gates, func(g state.Gate) bool { return g.Namespace == namespace })
	switch {
	case gated && !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "this generation gets requests once every role of it can serve")
	case !fm.Listed || !ok:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "the frontend does not list this generation")
	case !ns.Ready:
		c.set(state.CondRouterReady, state.StatusFalse, actors.CondNotListed, "the frontend misses "+strings.Join(ns.Missing, ", "))
	default:
		c.set(state.CondRouterReady, state.StatusTrue, actors.CondOK, "")
	}
}

// readyCondition is the conjunction; the first condition that fails says why.
func (r *round) readyCondition(c *conditions, m *model) {
	if m.deletion == deleted {
		c.set(state.CondReady, state.StatusFalse, actors.CondDeleting, "its units are being stopped")
		return
	}
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondRegistered, state.CondRouterReady} {
		if x := c.get(typ); x.Status != state.StatusTrue {
			c.set(state.CondReady, x.Status, x.Reason, x.Message)
			return
		}
	}
	if m.fellBack {
		c.set(state.CondReady, state.StatusFalse, actors.CondRolledBack, "the accepted generation does not start; the previous one serves")
		return
	}
	c.set(state.CondReady, state.StatusTrue, actors.CondOK, "")
}

// availableCondition says whether a request would be served now, by any
// generation: that is the frontend's word alone.
func (r *round) availableCondition(c *conditions, m *model) {
	fm, ok := m.server.frontend.Models[m.Spec.ServedName]
	switch {
	case !m.server.frontend.Known:
		c.set(state.CondAvailable, state.StatusFalse, actors.CondFrontendDown, cmp.Or(m.server.frontend.Err, "the frontend does not answer yet"))
	case ok && fm.Listed && fm.Ready:
		c.set(state.CondAvailable, state.StatusTrue, actors.CondOK, "")
	default:
		ready := c.get(state.CondReady)
		c.set(state.CondAvailable, state.StatusFalse, cmp.Or(notOK(ready.Reason), actors.CondNotListed), ready.Message)
	}
}

func notOK(reason string) string {
	if reason == actors.CondOK {
		return ""
	}
	return reason
}

func (r *round) upToDateCondition(c *conditions, m *model) {
	left := m.oldCount()
	switch {
	case m.deletion == held && m.server.held > 0:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondDeletionHeld, m.server.heldMessage)
	case m.deletion == held:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondDeletionHeld, "it was deleted without dynctl; it stops after the hold unless it is written again")
	case m.SpecMissing && m.Deleted == nil:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondSpecMissing, missingMessage(m.Accepted))
	case m.fellBack, m.giveUp:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondRolledBack, fmt.Sprintf("generation %s does not start%s; generation %s is kept until the spec is edited",
			m.Template.Generation, m.lastExit(), m.Previous.Generation))
	case m.Rejected != nil || m.Accepted != m.Revision:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondOldRevision, fmt.Sprintf("revision %d runs, %d was asked for", m.Accepted, m.Revision))
	case m.stalled != "":
		c.set(state.CondUpToDate, state.StatusFalse, actors.WaitRolloutStalled, m.stalled)
	case m.rolling() && m.failing():
		c.set(state.CondUpToDate, state.StatusFalse, actors.WaitRolloutStalled, "the new generation does not start"+m.lastExit()+"; the old one keeps serving")
	case m.rolling() && m.deletion != deleted:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondRolling, fmt.Sprintf("%d units of old generations are left", left))
	case m.rollEnds():
		desired, have := m.counts(isReady)
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondRolling, fmt.Sprintf("%d of %d replicas of the new generation are ready", have, desired))
	case m.Outdated:
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondRendererChanged, "this version renders another command for the same spec; `dynctl restart model/"+m.Name+"` adopts it")
	default:
		c.set(state.CondUpToDate, state.StatusTrue, actors.CondOK, "")
	}
}

// rollEnds reports whether a roll has no old unit left and replicas of the new generation
// are still to come: until they are ready it is not complete.
func (m *model) rollEnds() bool {
	if m.Status == nil || m.Status.Generation != m.inForce.Generation {
		return false
	}
	was, _ := m.Status.Condition(state.CondUpToDate)
	if was.Reason != actors.CondRolling && was.Reason != actors.WaitRolloutStalled {
		return false
	}
	desired, have := m.counts(isReady)
	return have < desired
}

func (m *model) lastExit() string {
	for _, v := range m.units {
		for _, a := range v.Actors {
			if ended(a) != nil && a.Failures > 0 && v.Generation == m.Template.Generation {
				return " (" + exitMessage(a) + ")"
			}
		}
	}
	return ""
}

// endpoint is the server's OpenAI base URL; empty until its frontend has a port.
func (s *server) endpoint() string {
	if s.infra == nil {
		return ""
	}
	for _, a := range s.infra.Actors {
		if port, ok := a.Ports[actors.PortHTTP]; ok && a.IP != "" {
			return fmt.Sprintf("http://%s:%d/v1", a.IP, port)
		}
	}
	return ""
}

func (r *round) serverStatus(s *server) {
	key := state.ServerKey(s.Name)
	if r.acting && !r.askedFor(s) && s.Rejected == nil && s.infra == nil && len(s.units) == 0 && len(s.foreign) == 0 {
		if s.Status == nil {
			return
		}
		r.out.Gone = append(r.out.Gone, key)
		if s.Deleted != nil {
			r.fact(actors.Fact{Type: actors.FactSpecDeleted, Server: s.Name, Revision: s.Revision, Reason: actors.ReasonDeleted, Message: "nothing of it is left"})
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
	if s.Status != nil && !r.in.Observed.Synced {
		st.Placements, st.Endpoint = s.Status.Placements, s.Status.Endpoint
	}
	if s.infra != nil {
		st.Placements = append(st.Placements, placement(*s.infra, s.infra.State == state.UnitRunning))
	}
	c := &conditions{now: r.in.Now, failing: r.in.AgentFailure, was: s.Status}
	r.acceptedCondition(c, s.Rejected, s.Accepted, s.Warnings)
	if s.SpecMissing {
		r.missingCondition(c, s.Accepted)
	}
	r.serverConditions(c, s)
	st.Conditions = c.list
	r.serverFacts(s, &st)
	r.out.Statuses = append(r.out.Statuses, st)
}

func (r *round) serverConditions(c *conditions, s *server) {
	if !r.blind(c, state.CondScheduled) {
		switch {
		case s.blocked != "":
			c.set(state.CondScheduled, state.StatusFalse, s.blocked, s.blockedMessage)
		case s.infra == nil || s.infra.PlacementGroup.State != "CREATED":
			c.set(state.CondScheduled, state.StatusFalse, actors.CondPending, "the infra unit is being placed")
		default:
			c.set(state.CondScheduled, state.StatusTrue, actors.CondOK, "")
		}
	}
	switch {
	case s.regs.Known:
		c.set(state.CondRegistered, state.StatusTrue, actors.CondOK, "")
	default:
		c.set(state.CondRegistered, state.StatusUnknown, actors.CondEtcdUnreachable, cmp.Or(s.regs.Err, "Dynamo's etcd does not answer yet"))
	}
	if s.frontend.Known {
		c.set(state.CondRouterReady, state.StatusTrue, actors.CondOK, "")
		c.set(state.CondAvailable, state.StatusTrue, actors.CondOK, "")
	} else {
		reason, message := s.whyNoFrontend()
		c.set(state.CondRouterReady, state.StatusFalse, reason, message)
		c.set(state.CondAvailable, state.StatusFalse, reason, message)
	}
	ready := state.StatusTrue
	reason, message := actors.CondOK, ""
	for _, typ := range []string{state.CondAccepted, state.CondScheduled, state.CondRegistered, state.CondRouterReady} {
		if x := c.get(typ); x.Status != state.StatusTrue {
			ready, reason, message = x.Status, x.Reason, x.Message
			break
		}
	}
	c.set(state.CondReady, ready, reason, message)
	if s.heldMessage != "" {
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondDeletionHeld, s.heldMessage)
	} else if s.Deleted != nil && len(s.models) > 0 {
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondDeletionHeld, fmt.Sprintf("it was deleted and still has %d models; delete them, or write the server again", len(s.models)))
	} else if s.SpecMissing && s.Deleted == nil {
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondSpecMissing, missingMessage(s.Accepted))
	} else {
		c.set(state.CondUpToDate, state.StatusTrue, actors.CondOK, "")
	}
}

// whyNoFrontend says what keeps the frontend from answering.
func (s *server) whyNoFrontend() (reason, message string) {
	if s.infra != nil {
		i := slices.IndexFunc(s.infra.Actors, func(a state.Actor) bool { return a.Exit != nil && a.State != state.UnitRunning })
		if i >= 0 {
			a := s.infra.Actors[i]
			message := exitMessage(a)
			if a.Exit.Cause == "" {
				message += lastLine(a.Exit.LogTail)
			}
			return cmp.Or(a.Exit.Reason, actors.CondFrontendDown), message
		}
	}
	return actors.CondFrontendDown, cmp.Or(s.frontend.Err, "the frontend does not answer yet")
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	if log == "" {
		return ""
	}
	return ": " + log[strings.LastIndexByte(log, '\n')+1:]
}
