package app

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkChange measures what one change costs beside a fleet that rests: nothing at
// all, one new model, one exit. The simulation and the stores run in the same process, so
// the figures are an upper bound.
func BenchmarkChange(b *testing.B) {
	for _, models := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			for range b.N {
				measureChanges(b, models)
			}
		})
	}
}

// changes is how many changes of a kind are measured in one run.
const changesMeasured = 20

func measureChanges(b *testing.B, models int) {
	r := newRig(b, models/8+8)
	r.declare(models)
	r.allReady(models)
	<-time.After(15 * time.Second) // what follows the last change is over, and the frontend is asked seldom

	idle := r.spend(func() { <-time.After(5 * time.Second) })
	var puts, exits []time.Duration
	put := r.spend(func() {
		for i := range changesMeasured {
			at, name := time.Now(), modelName(models+i)
			r.declareOne(name)
			r.allReady(models + i + 1)
			first, _ := r.started(r.workers(models + i + 1)[name].Unit)
			puts = append(puts, first.Sub(at))
		}
	})
	exit := r.spend(func() {
		for i := range changesMeasured {
			u := r.workers(models + changesMeasured)[modelName(i%models)]
			at := time.Now()
			if err := r.sim.Exit(u.Key(), -9); err != nil {
				b.Fatal(err)
			}
			exits = append(exits, r.restarted(u.Unit, at).Sub(at))
			r.healed(u)
		}
	})
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(idle.cpu.Seconds()/idle.wall.Seconds()*100, "idle-cpu-%")
	b.ReportMetric(float64(idle.bytes)/(1<<20)/idle.wall.Seconds(), "idle-MB/s")
	b.ReportMetric(float64(idle.rounds)/idle.wall.Seconds(), "idle-rounds/s")
	b.ReportMetric(ms(percentile(puts, 0.5)), "put-start-p50-ms")
	b.ReportMetric(ms(percentile(puts, 0.99)), "put-start-p99-ms")
	b.ReportMetric(float64(put.bytes)/(1<<20)/changesMeasured, "put-MB")
	b.ReportMetric(float64(put.rounds)/changesMeasured, "put-rounds")
	b.ReportMetric(ms(put.cpu)/changesMeasured, "put-cpu-ms")
	b.ReportMetric(float64(exit.rounds)/changesMeasured, "exit-rounds")
	b.ReportMetric(ms(exit.cpu)/changesMeasured, "exit-cpu-ms")
	b.ReportMetric(ms(percentile(exits, 0.5)), "exit-start-p50-ms")
	b.ReportMetric(ms(percentile(exits, 0.99)), "exit-start-p99-ms")
	b.ReportMetric(float64(exit.bytes)/(1<<20)/changesMeasured, "exit-MB")
}

// spent is what something has cost the process.
type spent struct {
	roundCost
	bytes uint64 // allocated
}

func (r *rig) spend(on func()) spent {
	r.tb.Helper()
	var before, after runtime.MemStats
	cost := r.cost() // which gathers all metrics: the looking is not part of what is looked at
	cpu, at := r.cpu(), time.Now()
	runtime.ReadMemStats(&before)
	on()
	runtime.ReadMemStats(&after)
	wall, used := time.Since(at), r.cpu()-cpu
	c := r.cost().since(cost)
	c.cpu, c.wall = used, wall
	return spent{c, after.TotalAlloc - before.TotalAlloc}
}
