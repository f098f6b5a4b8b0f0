// Package leaktest finds goroutines that tests beside an embedded NATS leave behind.
package leaktest

import (
	"testing"

	"go.uber.org/goleak"
)

// Options are what a search for goroutines takes beside an embedded NATS. A server that is
// shut down in the moment in which it makes a stream does not end the stream's store
// (nats-server 2.15): these run on, and are nobody's mistake. A server that nobody shut down
// is still found, by what it listens with.
func Options() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreAnyFunction(server + "/ats.Register.func1"),
		goleak.IgnoreAnyFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server + ".(*consumerFileStore).flushLoop"),
	}
}

// Main runs the tests of a package and fails where goroutines are left.
func Main(m *testing.M) { goleak.VerifyTestMain(m, Options()...) }
