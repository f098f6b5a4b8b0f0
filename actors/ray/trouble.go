package ray

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// clusterError says why there is no way to a cluster's dashboard, under one of the
// constant reasons of the Ray cluster.
type clusterError struct {
	reason string // actors.Ray...
	what   string // names the object, and what is the matter with it
	way    string // out of it
	kind   error  // what errors.Is finds; never nil
}

func (e *clusterError) Error() string {
	return fmt.Sprintf("%s: %v: %s", e.what, e.kind, e.way)
}

func (e *clusterError) Unwrap() error { return e.kind }

// troubleOf is what an error says of the Ray cluster itself; zero where it says
// nothing of it, as where the dashboard does not answer: see Supervisor.troubled.
func troubleOf(err error, way Endpoint) state.AgentFailure {
	cluster, status := new(clusterError), new(StatusError)
	switch {
	case errors.As(err, &cluster):
		return state.AgentFailure{Reason: cluster.reason, Message: cluster.what, Way: cluster.way}
	case errors.As(err, &status) && errors.Is(err, ErrUnauthorized) && way.TokenFrom != "":
		return state.AgentFailure{
			Reason:  actors.RayTokenRefused,
			Message: fmt.Sprintf("the dashboard at %s answers %d to the token of %s", way.URL, status.Code, way.TokenFrom),
			Way:     refusedWay,
		}
	case errors.As(err, &status) && errors.Is(err, ErrUnauthorized):
		return state.AgentFailure{Reason: actors.RayTokenRefused, Message: status.Error()}
	}
	return state.AgentFailure{}
}

// unanswered is how long a dashboard may be silent before it is told: on a busy head one
// answer is late now and then.
const unanswered = 10 * time.Second

// troubled is what a request that failed says of the Ray cluster.
func (s *Supervisor) troubled(err error) state.AgentFailure {
	found := troubleOf(err, s.way)
	switch {
	case found != (state.AgentFailure{}) || !errors.Is(err, ErrUnreachable):
		s.unheard = time.Time{}
		return found
	case s.unheard.IsZero():
		s.unheard = s.silentSince()
	}
	if time.Since(s.unheard) >= unanswered {
		return unreachableAt(s.client.address, err)
	}
	return state.AgentFailure{}
}

// silentSince is from when on a request that has just failed had no answer: it may have waited
// for one as long as requestTimeout. One that took longer than any may has seen this process
// stopped, and proves nothing of that time.
func (s *Supervisor) silentSince() time.Time {
	if time.Since(s.asked) > requestTimeout+overslept {
		return time.Now()
	}
	return s.asked
}

// answered forgets what was the matter.
func (s *Supervisor) answered() {
	s.trouble, s.unheard, s.asked = state.AgentFailure{}, time.Time{}, time.Now()
}

// unreachableAt tells of a dashboard that does not answer, in the same words for as long as
// the cause is the same: without the ports of a connection.
func unreachableAt(address string, err error) state.AgentFailure {
	f := state.AgentFailure{
		Reason:  actors.RayUnreachable,
		Message: "the Ray dashboard at " + address + " does not answer",
		Way:     "start Ray, or see that its head can be reached from here (--ray-address); without it no agent can follow the one that is there",
	}
	var failed *net.OpError
	switch {
	case errors.Is(err, ErrUntrusted):
		f.Message, f.Way = "the Ray dashboard at "+address+" does not prove what it is", wayUntrusted
	case errors.As(err, &failed):
		f.Message += fmt.Sprintf(" (%v)", failed.Err)
	case errors.Is(err, context.DeadlineExceeded):
		f.Message += fmt.Sprintf(" (nothing within %s)", requestTimeout)
	}
	return f
}

// refusedWay is the way out where the token that was read is not the cluster's.
const refusedWay = "Ray's pods read the token when they start: after a change of the Secret delete the head and worker pods, " +
	"or put the old token back; with enableK8sTokenAuth the account needs the verb ray:write on the RayCluster"

// Trouble is what an error of a Resolver or of Check says of the Ray cluster itself;
// zero: nothing.
func Trouble(err error) state.AgentFailure { return troubleOf(err, Endpoint{}) }
