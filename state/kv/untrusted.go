package kv

import (
	"errors"

	"github.com/nats-io/nats.go"
)

const wayUntrusted = "name the authority of its certificate (caFile of a context, nats.RootCAs), and dial a name that the certificate has"

// Untrusted reports whether a connection failed because the server did not prove what it
// is: its certificate was not accepted, or it has none and one is asked for.
func Untrusted(err error) bool {
	return errors.Is(err, nats.ErrTLS) || errors.Is(err, nats.ErrSecureConnWanted)
}
