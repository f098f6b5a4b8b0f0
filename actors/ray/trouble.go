package ray

import (
	"errors"
	"fmt"

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
// nothing of it, as where the dashboard does not answer.
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

// refusedWay is the way out where the token that was read is not the cluster's.
const refusedWay = "Ray's pods read the token when they start: after a change of the Secret delete the head and worker pods, " +
	"or put the old token back; with enableK8sTokenAuth the account needs the verb ray:write on the RayCluster"

// Trouble is what an error of a Resolver or of Check says of the Ray cluster itself;
// zero: nothing.
func Trouble(err error) state.AgentFailure { return troubleOf(err, Endpoint{}) }
