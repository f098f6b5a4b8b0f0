package ray

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Resolver knows where the dashboard is. It is safe for concurrent use.
type Resolver interface {
	// Run follows the cluster until the context ends, and then returns nil.
	Run(ctx context.Context) error
	// Address is the dashboard's URL without a slash at its end, or an error that
	// says what is waited for.
	Address(ctx context.Context) (string, error)
	// Changed holds a token when the answer of Address has changed.
	Changed() <-chan struct{}
}

// Static is a dashboard at an address that never changes.
type Static struct{ address string }

// NewStatic takes the URL of a dashboard. Errors: ErrAddress.
func NewStatic(address string) (Static, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return Static{}, fmt.Errorf("%q: %w: want http://HOST:8265", address, ErrAddress)
	}
	return Static{strings.TrimRight(address, "/")}, nil
}

// Run waits for the context to end.
func (s Static) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Address is the address given to NewStatic.
func (s Static) Address(context.Context) (string, error) { return s.address, nil }

// Changed never holds a token.
func (s Static) Changed() <-chan struct{} { return nil }
