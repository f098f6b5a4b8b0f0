package app

import (
	"fmt"
	rtmetrics "runtime/metrics"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"dynctl/actors/plan"
)

const (
	// changesMeasured is how many puts and how many exits are measured in one run: of 100
	// the p99 is the second slowest.
	changesMeasured = 100
	// rests is how long a fleet is left alone before it is measured: what follows the last
	// change is over, and the frontend is asked seldom.
	rests = 15 * time.Second
	// idleFor is four of the rounds that are made every 5 s.
	idleFor = 20 * time.Second
)

// BenchmarkChange measures what one change costs beside a fleet that rests: nothing at
// all, one new model, one exit; before that, all of the fleet put at once. Beside each the
// same run has its floor: what the writes alone take that this cannot do without. The
// simulation and the stores run in the same process, so the figures are an upper bound.
func BenchmarkChange(b *testing.B) {
	for _, models := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			for range b.N {
				measureChanges(b, models)
			}
		})
	}
}

func measureChanges(b *testing.B, models int) {
	b.ReportMetric(0, "ns/op")
	r := newRig(b, nodesFor(models+changesMeasured))
	r.measureAtOnce(b, models)
	<-time.After(rests)
	r.measureIdle(b)
	r.measurePlan(b)
	command, report := r.measurePutsAndExits(b, models, changesMeasured)
	measureFloors(b, r.url(), command, report)
	r.stop()
	measureFloorAtOnce(b, models, command)
}

// measureAtOnce puts that many models at once.
func (r *rig) measureAtOnce(b *testing.B, models int) {
	b.Helper()
	began, cpu := time.Now(), r.cpu()
	r.declareAtOnce(models)
	put := time.Since(began)
	started := r.poll("all are started", func() bool { return len(r.first) > models }) // and the infra unit
	startedCPU := r.cpu() - cpu
	ready := r.poll("all are ready", func() bool { return count(r.ready, "model.") == models })
	b.ReportMetric(put.Seconds(), "put-all-s")
	b.ReportMetric(started.Sub(began).Seconds(), "all-started-s")
	b.ReportMetric(startedCPU.Seconds(), "all-started-cpu-s")
	b.ReportMetric(ready.Sub(began).Seconds(), "all-ready-s")
}

func (r *rig) measureIdle(b *testing.B) {
	b.Helper()
	idle := r.rest()
	b.ReportMetric(idle.cpu.Seconds()/idle.wall.Seconds()*100, "idle-cpu-%")
	b.ReportMetric(float64(idle.bytes)/(1<<20)/idle.wall.Seconds(), "idle-MB/s")
	b.ReportMetric(float64(idle.rounds)/idle.wall.Seconds(), "idle-rounds/s")
}

// rest is what doing nothing costs.
func (r *rig) rest() (idle spent) {
	r.tb.Helper()
	r.spend(&idle, func() { <-time.After(idleFor) })
	return idle
}

// measurePlan plans what is, as a whole and with what is remembered of the plan before.
func (r *rig) measurePlan(b *testing.B) {
	b.Helper()
	in := r.app.snapshot.Load().input
	var memory plan.Memory
	memory.Plan(in)
	b.ReportMetric(inMs(median(9, func() { plan.Plan(in) })), "plan-ms")
	b.ReportMetric(inMs(median(9, func() { memory.Plan(in) })), "plan-again-ms")
}

func median(times int, do func()) time.Duration {
	var took []time.Duration
	for range times {
		began := time.Now()
		do()
		took = append(took, time.Since(began))
	}
	return percentile(took, 0.5)
}

// breath is what is waited after a change, so that the rounds which follow it are over.
const breath = 30 * time.Millisecond

// measurePutsAndExits makes changes one after the other, each of them when the one before is
// over; what was put is deleted again. It returns a start command and the report of a worker,
// as they were stored.
func (r *rig) measurePutsAndExits(b *testing.B, models, changes int) (command, report []byte) {
	b.Helper()
	var puts, exits []time.Duration
	var put, exit spent
	for i := range changes {
		name := modelName(models + i)
		r.spend(&put, func() {
			at := time.Now()
			r.declareOne(name)
			r.oneReady(name)
			first, _ := r.started(r.runs(name).Unit)
			puts = append(puts, first.Sub(at))
		})
		r.removeOne(name)
		<-time.After(breath)
	}
	for i := range changes {
		u := r.runs(modelName(i % models))
		r.spend(&exit, func() {
			at := time.Now()
			if err := r.sim.Exit(u.Key(), -9); err != nil {
				b.Fatal(err)
			}
			exits = append(exits, r.restarted(u.Unit, at).Sub(at))
			r.healed(u)
			<-time.After(breath)
		})
	}
	reportTimes(b, "put-start", puts)
	reportTimes(b, "exit-start", exits)
	reportCost(b, "put", put, changes)
	reportCost(b, "exit", exit, changes)
	unit := r.runs(modelName(0)).Unit
	return r.lastOn("dynctl.events.*.start." + unit), r.lastOn("$KV.dynctl_observed.unit.*." + unit)
}

func reportTimes(b *testing.B, what string, took []time.Duration) {
	b.Helper()
	b.ReportMetric(inMs(percentile(took, 0.5)), what+"-p50-ms")
	b.ReportMetric(inMs(percentile(took, 0.99)), what+"-p99-ms")
	b.ReportMetric(inMs(slices.Max(took)), what+"-max-ms")
}

func reportCost(b *testing.B, what string, of spent, changes int) {
	b.Helper()
	each := 1 / float64(changes)
	b.ReportMetric(float64(of.bytes)/(1<<20)*each, what+"-MB")
	b.ReportMetric(float64(of.rounds)*each, what+"-rounds")
	b.ReportMetric(inMs(of.cpu)*each, what+"-cpu-ms")
}

func inMs(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spent is what something has cost the process, and how long it took.
type spent struct {
	cpu, wall time.Duration
	bytes     uint64 // allocated
	rounds    uint64
}

// spend adds what something costs.
func (r *rig) spend(sum *spent, on func()) {
	r.tb.Helper()
	before, cpu, at := r.allocatedAndRounds(), r.cpu(), time.Now()
	on()
	sum.wall, sum.cpu = sum.wall+time.Since(at), sum.cpu+r.cpu()-cpu
	after := r.allocatedAndRounds()
	sum.bytes, sum.rounds = sum.bytes+after.bytes-before.bytes, sum.rounds+after.rounds-before.rounds
}

// allocatedAndRounds are those so far. To look costs nothing: neither is the world stopped
// nor are all metrics gathered.
func (r *rig) allocatedAndRounds() spent {
	r.tb.Helper()
	allocated := []rtmetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	rtmetrics.Read(allocated)
	var rounds dto.Metric
	if err := r.app.metrics.duration.Write(&rounds); err != nil {
		r.tb.Fatal(err)
	}
	return spent{bytes: allocated[0].Value.Uint64(), rounds: rounds.GetHistogram().GetSampleCount()}
}
