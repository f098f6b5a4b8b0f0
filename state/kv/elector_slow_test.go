package kv

import (
	"testing"
	"time"

	"dynctl/state/kv/natsd/natsdtest"
)

// Whoever is far from the store is elected all the same, and keeps the lead: what asks again
// before the answer can be there never hears any.
func TestALeaderFarFromTheStore(t *testing.T) {
	for _, way := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(way.String(), func(t *testing.T) {
			t.Parallel()
			st := newStore(t)
			st.ready()
			gate := natsdtest.NewGate(t, st.srv.URL())
			js := st.through(gate)
			gate.Delay(way)
			began := time.Now()
			var said lines
			term := runElector(t, js, ElectorOptions{ID: "far", Log: said.log()}).term()
			t.Logf("leads after %s", time.Since(began))
			select {
			case <-term.Ctx.Done():
				if !said.has("lease ran out") { // a machine may be too busy to renew it in time
					t.Errorf("the term ended after %s: %s", time.Since(began), said.b.String())
				}
			case <-time.After(3 * LeaseTTL):
			}
		})
	}
}
