package kv

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

const wayUntrusted = "name the authority of its certificate (caFile of a context, nats.RootCAs), and dial a name that the certificate has"

// endsSoon is how long before its end a certificate is told of at the most; one of a short
// life in the last tenth of it.
const endsSoon = 7 * 24 * time.Hour

// Ending reports whether a certificate has ended, or is to be renewed.
func Ending(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < min(endsSoon, cert.NotAfter.Sub(cert.NotBefore)/10)
}

// Untrusted reports whether a connection failed because the server did not prove what it
// is: its certificate was not accepted, or it has none and one is asked for.
func Untrusted(err error) bool {
	return errors.Is(err, nats.ErrTLS) || errors.Is(err, nats.ErrSecureConnWanted)
}
