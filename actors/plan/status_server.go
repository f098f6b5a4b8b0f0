package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// endpoint is the server's OpenAI base URL; empty until its frontend has a port.
func (s *server) endpoint() string {
	if s.url == nil { // every model of it says the same
		s.url = new(s.findEndpoint())
	}
	return *s.url
}

func (s *server) findEndpoint() string {
	if s.infra == nil {
		return ""
	}
	for _, a := range s.infra.Actors {
		if port, ok := a.Ports[actors.PortHTTP]; ok && a.IP != "" {
			return fmt.Sprintf("%s://%s:%d/v1", s.Template.FrontendScheme(), a.IP, port)
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
		st.Placements = append(st.Placements, placement(s.infra, s.infra.State == state.UnitRunning))
	}
	c := r.conditions(s.Status)
	c.accepted(s.Rejected, s.Accepted, s.Warnings, s.SpecMissing)
	r.serverConditions(c, s)
	st.Conditions = asBefore(c.was, c.list)
	r.serverFacts(s, &st)
	r.out.Statuses = append(r.out.Statuses, &st)
}

func (r *round) serverConditions(c *conditions, s *server) {
	r.serverScheduled(c, s)
	switch {
	case s.regs.Known:
		c.set(state.CondRegistered, state.StatusTrue, actors.CondOK, "")
	default:
		c.set(state.CondRegistered, state.StatusUnknown, actors.CondEtcdUnreachable, s.whyNoEtcd())
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
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondDeletionHeld,
			fmt.Sprintf("it was deleted, and models of it are left (%d); delete them, or write the server again", len(s.models)))
	} else if s.SpecMissing && s.Deleted == nil {
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondSpecMissing, missingMessage(s.Accepted))
	} else if r.in.StoreFull != "" {
		c.set(state.CondUpToDate, state.StatusFalse, actors.CondStoreFull, r.in.StoreFull)
	} else {
		c.set(state.CondUpToDate, state.StatusTrue, actors.CondOK, "")
	}
}

func (r *round) serverScheduled(c *conditions, s *server) {
	if r.blind(c, state.CondScheduled) {
		return
	}
	switch {
	case s.blocked != "":
		c.set(state.CondScheduled, state.StatusFalse, s.blocked, s.blockedMessage)
	case s.infra != nil && r.isSlowToPlace(s.infra):
		c.set(state.CondScheduled, state.StatusFalse, actors.CondPending, slowToPlace(s.infra))
	case s.infra == nil || s.infra.PlacementGroup.State != state.GroupCreated:
		c.set(state.CondScheduled, state.StatusFalse, actors.CondPending, "the infra unit is being placed")
	default:
		c.set(state.CondScheduled, state.StatusTrue, actors.CondOK, "")
	}
}

// whyNoEtcd says what keeps the server's etcd from answering.
func (s *server) whyNoEtcd() string {
	if s.infra != nil {
		for _, a := range s.infra.Actors {
			if strings.HasSuffix(a.Name, "_"+actors.LabelEtcd) && a.State != state.UnitRunning && a.Exit != nil {
				return "etcd does not run: " + exitText(&a)
			}
		}
	}
	return cmp.Or(s.regs.Err, "Dynamo's etcd does not answer yet")
}

// whyNoFrontend says what keeps the frontend from answering.
func (s *server) whyNoFrontend() (reason, message string) {
	if a := s.infraEnded(); a != nil {
		return cmp.Or(a.Exit.Reason, actors.CondFrontendDown), exitText(a)
	}
	return actors.CondFrontendDown, cmp.Or(s.frontend.Err, "the frontend does not answer yet")
}

// silentFrontend is that for a model, whose own processes did not end.
func (s *server) silentFrontend() string {
	if s.silent == "" { // every model of it says the same
		_, s.silent = s.whyNoFrontend()
		if s.infraEnded() != nil {
			s.silent = "its server does not run whole: " + s.silent
		}
	}
	return s.silent
}

// infraEnded is a process of infra that ended and does not run; nil: none.
func (s *server) infraEnded() *state.Actor {
	if s.infra == nil {
		return nil
	}
	i := slices.IndexFunc(s.infra.Actors, func(a state.Actor) bool { return a.Exit != nil && a.State != state.UnitRunning })
	if i < 0 {
		return nil
	}
	return &s.infra.Actors[i]
}

// exitText is how an actor's last attempt ended, with the end of its log where no cause
// was found in it.
func exitText(a *state.Actor) string {
	text := exitMessage(a)
	if a.Exit.Cause == "" {
		text += lastLine(a.Exit.LogTail)
	}
	return text
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	if log == "" {
		return ""
	}
	return ": " + log[strings.LastIndexByte(log, '\n')+1:]
}
