package app

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dynctl/state/kv"
)

// BenchmarkCold measures reconcilers that start beside one running fleet, one after the other.
// The simulation runs in the same process.
func BenchmarkCold(b *testing.B) {
	for _, models := range []int{1000, 4000, 10000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			r := newRigOn(b, nodesFor(models), startStore(b))
			r.declareAtOnce(models)
			r.poll("all are ready", func() bool { return count(r.ready, "model.") == models })
			<-time.After(rests)
			var all []coldStart
			for range 5 * b.N {
				r.stop()
				r.app = nil
				<-time.After(3 * time.Second) // what has ended lets go of its memory
				heap()
				all = append(all, r.coldStart())
			}
			reportColdStarts(b, all)
		})
	}
}

// coldStart is what a start beside a fleet took.
type coldStart struct {
	wall, cpu          time.Duration // until it leads, knows all and finds nothing to do
	after              time.Duration // of CPU, with the 5 s that follow
	commands, statuses int64         // that were sent and written meanwhile
}

// coldStart starts a reconciler beside all that runs.
func (r *rig) coldStart() (c coldStart) {
	r.tb.Helper()
	var commands, statuses atomic.Int64
	for _, verb := range []string{"start", "stop", "sweep"} {
		r.countOn("dynctl.events.*."+verb+".>", &commands)
	}
	r.countOn("$KV."+kv.BucketStatus+".>", &statuses)
	cpu, began := r.cpu(), time.Now()
	r.start("http://127.0.0.1:1")
	r.poll("it leads and knows all", func() bool {
		s := r.app.snapshot.Load()
		return s != nil && s.input.Desired.Synced && s.input.Observed.Synced && r.app.metrics.leadsNow() && r.roundsOf(roundIdle) > 0
	})
	c.wall, c.cpu = time.Since(began), r.cpu()-cpu
	<-time.After(5 * time.Second)
	c.after, c.commands, c.statuses = r.cpu()-cpu, commands.Load(), statuses.Load()
	return c
}

// reportColdStarts reports the medians, and of what should not be the most.
func reportColdStarts(b *testing.B, all []coldStart) {
	var wall, cpu, after []time.Duration
	var commands, statuses int64
	for _, c := range all {
		wall, cpu, after = append(wall, c.wall), append(cpu, c.cpu), append(after, c.after)
		commands, statuses = max(commands, c.commands), max(statuses, c.statuses)
	}
	b.ReportMetric(percentile(wall, 0.5).Seconds(), "cold-start-s")
	b.ReportMetric(percentile(cpu, 0.5).Seconds(), "cold-start-cpu-s")
	b.ReportMetric(percentile(after, 0.5).Seconds(), "cold-start-and-5s-cpu-s")
	b.ReportMetric(float64(commands), "cold-commands")
	b.ReportMetric(float64(statuses), "cold-statuses")
}
