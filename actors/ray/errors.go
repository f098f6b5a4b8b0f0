package ray

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Errors of this package, to be compared with errors.Is.
var (
	// ErrUnreachable: nothing answers at the dashboard's address.
	ErrUnreachable = errors.New("the Ray dashboard does not answer")
	// ErrUntrusted: the certificate of a dashboard behind https was not accepted. It is an
	// ErrUnreachable, too.
	ErrUntrusted error = untrusted{}
	// ErrUnauthorized: the cluster wants a token, or another one.
	ErrUnauthorized = errors.New("the Ray cluster refuses the token")
	// ErrNotRay: what answers is not Ray's dashboard.
	ErrNotRay = errors.New("not a Ray dashboard")
	// ErrRefused: the dashboard answered with an error.
	ErrRefused = errors.New("the Ray cluster refuses the request")
	// ErrNoJob: the cluster has no such job.
	ErrNoJob = errors.New("no such Ray job")
	// ErrNoPackage: Ray has collected the agent's package before its job started.
	ErrNoPackage = errors.New("the Ray cluster no longer has the agent's package")
	// ErrNotReady: the RayCluster does not exist or its head is not ready.
	ErrNotReady = errors.New("the RayCluster is not ready")
	// ErrAddress: the address is not one of a dashboard.
	ErrAddress = errors.New("not the address of a Ray dashboard")
	// ErrNoAgent: no heartbeat came in time.
	ErrNoAgent = errors.New("the agent sends no heartbeat")
	// ErrNotListening: nobody takes the orders of that agent.
	ErrNotListening = errors.New("the agent takes no orders yet, or no more")
	// ErrDeps: a wheel that is to travel with the agent cannot be used.
	ErrDeps = errors.New("unusable dependency of the agent")
)

type untrusted struct{}

func (untrusted) Error() string        { return "the Ray dashboard does not prove what it is" }
func (untrusted) Is(target error) bool { return target == ErrUnreachable }

// wayUntrusted is what to do about it.
const wayUntrusted = "pass the authority of its certificate with --ray-ca, name it in --ray-address as the certificate does, or renew that"

// StatusError is an answer of the dashboard that is none of those expected. It
// is ErrUnauthorized for 401 and 403, and ErrRefused otherwise.
type StatusError struct {
	Method, Path string
	Code         int
	Body         string // at most 64 KiB of it
}

// Error says what was asked and what was answered.
func (e *StatusError) Error() string {
	if errors.Is(e, ErrUnauthorized) {
		return fmt.Sprintf("%v (%s %s: %d): set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's token", ErrUnauthorized, e.Method, e.Path, e.Code)
	}
	return fmt.Sprintf("%v: %s %s: %d %s: %s", ErrRefused, e.Method, e.Path, e.Code, http.StatusText(e.Code), e.said())
}

// said is the beginning of what the answer says. Of a traceback, which Ray sends whole,
// it is the exception at the end: the frames before it are longer than a message may be.
func (e *StatusError) said() string {
	if strings.Contains(e.Body, "Traceback (most recent call last)") {
		return causeOf(e.Body)
	}
	return strings.ToValidUTF8(e.Body[:min(len(e.Body), maxErrorBody)], "")
}

// Unwrap is ErrUnauthorized or ErrRefused.
func (e *StatusError) Unwrap() error {
	if e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden {
		return ErrUnauthorized
	}
	return ErrRefused
}
