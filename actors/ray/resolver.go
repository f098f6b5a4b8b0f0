package ray

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"dynctl/state"
)

// Resolver knows the way to the dashboard. It is safe for concurrent use.
type Resolver interface {
	// Run follows the cluster until the context ends, and then returns nil.
	Run(ctx context.Context) error
	// Endpoint is the way to the dashboard as of now, or an error that says what is
	// waited for.
	Endpoint(ctx context.Context) (Endpoint, error)
	// Changed holds a token when the answer of Endpoint has changed.
	Changed() <-chan struct{}
}

// Endpoint is the way to a dashboard.
type Endpoint struct {
	// URL is the dashboard's, without a slash at its end.
	URL string
	// Token is what this cluster's authentication wants; empty: the resolver knows of
	// none, and the one of the environment counts.
	Token string
	// TokenFrom names the place that Token was read from.
	TokenFrom string
	// Proxy carries requests through a proxy that takes Authorization for itself; the
	// token then travels in Ray's own header. nil: there is none between.
	Proxy http.RoundTripper
	// Transport carries requests that need another way than Go's own; nil: they do not.
	Transport http.RoundTripper
	// Notice is what somebody should look at although there is a way; zero: nothing.
	Notice state.RayNotice
}

// same reports whether a client of e serves for other as well.
func (e Endpoint) same(other Endpoint) bool {
	return e.URL == other.URL && e.Token == other.Token && e.Proxy == other.Proxy && e.Transport == other.Transport
}

// Static is a dashboard at an address that never changes.
type Static struct{ endpoint Endpoint }

// NewStatic takes the URL of a dashboard, and a file with the authorities that the
// certificate of one behind https is checked against; empty: those that the system knows.
// Errors: ErrAddress, and why the file cannot be used.
func NewStatic(address, caFile string) (Static, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return Static{}, fmt.Errorf("%q: %w: want http://HOST:8265", address, ErrAddress)
	}
	s := Static{Endpoint{URL: strings.TrimRight(address, "/")}}
	if caFile != "" {
		way := &trusting{file: caFile}
		if _, err := way.transport(); err != nil {
			return Static{}, err
		}
		s.endpoint.Transport = way
	}
	return s, nil
}

// Run waits for the context to end.
func (s Static) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Endpoint is the address given to NewStatic.
func (s Static) Endpoint(context.Context) (Endpoint, error) { return s.endpoint, nil }

// Changed never holds a token.
func (s Static) Changed() <-chan struct{} { return nil }
