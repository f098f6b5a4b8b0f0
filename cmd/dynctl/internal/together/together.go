// Package together has reads that do not depend on each other made side by side: over a far NATS
// each of them takes several round trips.
package together

import "sync"

// Reads are those under way.
type Reads struct{ wg sync.WaitGroup }

// Begin makes a read now; what it returns waits for the result, and may be called again.
func Begin[T any](r *Reads, read func() (T, error)) func() (T, error) {
	var value T
	var err error
	done := make(chan struct{})
	r.wg.Go(func() {
		defer close(done)
		value, err = read()
	})
	return func() (T, error) {
		<-done
		return value, err
	}
}

// Wait returns once all have ended, for whoever does not ask for each result.
func (r *Reads) Wait() { r.wg.Wait() }
