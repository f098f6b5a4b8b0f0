package app

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"dynctl/state"
	"dynctl/state/kv"
)

// A fleet converges, heals from every kind of fault, and leaves nothing when it is
// deleted: what the benchmarks measure keeps working.
func TestSimulatedFleetConverges(t *testing.T) {
	const models = 24
	r := newRig(t, 5)
	r.declare(models)
	r.allReady(models)

	node := r.healsFaults(models)
	r.allReady(models)
	for _, u := range r.workers(models) {
		if slices.Contains(u.PlacementGroup.Nodes, node) {
			t.Errorf("%s is said to run on a dead node", u.Unit)
		}
	}
	for i := range models {
		key, err := state.ParseKey("model.default." + modelName(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client.DeleteSpec(t.Context(), key, kv.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r.until("nothing of the models is left", func() bool { return r.gone == models })
	r.workers(0)
	if refused, err := r.sim.Refused(); err != nil || len(refused) > 0 {
		t.Errorf("refused: %v (%v)", refused, err)
	}
}

// While nothing changes no round is made but one every five seconds; what changes is seen at
// once all the same.
func TestAFleetAtRestMakesNoRounds(t *testing.T) {
	const models = 6
	r := newRig(t, 2)
	r.declare(models)
	r.allReady(models)
	quiet := func() bool { return r.roundsOf(roundQuiet) > 0 }
	for late := time.Now().Add(rigPatience); !quiet(); { // what follows the last change is over
		if time.Now().After(late) {
			t.Fatal("rounds go on while nothing changes")
		}
		<-time.After(10 * time.Millisecond)
	}
	made, left := r.roundsOf(roundIdle)+r.roundsOf(roundActed), r.roundsOf(roundQuiet)
	<-time.After(3 * time.Second) // heartbeats come meanwhile
	made, left = r.roundsOf(roundIdle)+r.roundsOf(roundActed)-made, r.roundsOf(roundQuiet)-left
	if left < 4 || made > left {
		t.Errorf("in 3 s %v rounds were made and %v left out", made, left)
	}
	u := r.workers(models)[modelName(0)]
	if err := r.sim.Exit(u.Key(), -9); err != nil {
		t.Fatal(err)
	}
	r.healed(u)
	r.declareOne(modelName(models))
	r.allReady(models + 1)
}

// roundsOf is how many rounds ended so.
func (r *rig) roundsOf(result string) float64 {
	r.tb.Helper()
	var rounds dto.Metric
	if err := r.app.metrics.rounds.WithLabelValues(result).Write(&rounds); err != nil {
		r.tb.Fatal(err)
	}
	return rounds.GetCounter().GetValue()
}

// healsFaults hits a fleet with every kind of fault, and returns the node that has ended.
func (r *rig) healsFaults(models int) (node string) {
	t := r.tb
	t.Helper()
	workers := r.workers(models)
	for _, u := range workers {
		if u.Actors[0].Attempt != 1 {
			t.Errorf("%s was executed %d times without a fault", u.Unit, u.Actors[0].Attempt)
		}
	}
	names := slices.Sorted(maps.Keys(workers))
	node = workers[names[3]].PlacementGroup.Nodes[0]
	for _, fault := range []struct {
		what string
		hit  string
		do   func(state.Unit) error
	}{
		{"an exit", names[0], func(u state.Unit) error { return r.sim.Exit(u.Key(), -9) }},
		{"the end of an actor", names[1], func(u state.Unit) error { return r.sim.KillActor(u.Actors[0].Name) }},
		{"the removal of a group", names[2], func(u state.Unit) error { return r.sim.RemoveGroup(u.Key()) }},
		{"the end of a node", names[3], func(state.Unit) error { return r.sim.KillNode(node) }},
	} {
		u := workers[fault.hit]
		if err := fault.do(u); err != nil {
			t.Fatalf("%s: %v", fault.what, err)
		}
		r.healed(u)
	}
	for name, u := range workers { // those that were on the node with it
		if u.PlacementGroup.Nodes[0] == node && name != names[0] && name != names[1] && name != names[2] {
			r.healed(u)
		}
	}
	return node
}

// BenchmarkScale measures a whole reconciler against 100 simulated nodes of 8
// GPUs, from a spec to its start command, until all are ready, and from an exit to
// the start command that follows.
func BenchmarkScale(b *testing.B) {
	for _, models := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			var sum measures
			for range b.N {
				sum.measure(b, models)
			}
			sum.report(b)
		})
	}
}

type measures struct {
	putToStart, exitToStart, ready []time.Duration
	load, heal, idle               []roundCost
}

// exits is how many exits are measured in one run.
const exits = 50

func (m *measures) measure(b *testing.B, models int) {
	r := newRig(b, 100)
	cost := r.cost()
	at := r.declare(models)
	m.ready = append(m.ready, r.allReady(models).Sub(at[modelName(0)]))
	m.load = append(m.load, r.cost().since(cost))
	workers := r.workers(models)
	for name, u := range workers {
		first, _ := r.started(u.Unit)
		m.putToStart = append(m.putToStart, first.Sub(at[name]))
	}
	names := slices.Sorted(maps.Keys(workers))
	cost = r.cost()
	for i := range exits {
		u := r.workers(models)[names[i%len(names)]]
		began := time.Now()
		if err := r.sim.Exit(u.Key(), -9); err != nil {
			b.Fatal(err)
		}
		m.exitToStart = append(m.exitToStart, r.restarted(u.Unit, began).Sub(began))
		r.healed(u)
	}
	m.heal = append(m.heal, r.cost().since(cost))
	cost = r.cost()
	<-time.After(2 * time.Second) // what nothing to do costs is a matter of time
	m.idle = append(m.idle, r.cost().since(cost))
}

func (m *measures) report(b *testing.B) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(percentile(m.putToStart, 0.5)), "put-start-p50-ms")
	b.ReportMetric(ms(percentile(m.putToStart, 0.99)), "put-start-p99-ms")
	b.ReportMetric(ms(percentile(m.ready, 0.5)), "all-ready-ms")
	b.ReportMetric(ms(percentile(m.exitToStart, 0.5)), "exit-start-p50-ms")
	b.ReportMetric(ms(percentile(m.exitToStart, 0.99)), "exit-start-p99-ms")
	b.ReportMetric(meanRound(m.load), "round-load-ms")
	b.ReportMetric(meanRound(m.heal), "round-heal-ms")
	b.ReportMetric(meanRound(m.idle), "round-idle-ms")
	b.ReportMetric(m.idle[0].cpu.Seconds()/m.idle[0].wall.Seconds()*100, "idle-cpu-%")
	b.ReportMetric(float64(m.load[0].rounds), "load-rounds")
	b.ReportMetric(m.load[0].cpu.Seconds(), "load-cpu-s")
}

// roundCost is what rounds have cost since the start, or between two moments.
type roundCost struct {
	rounds    uint64
	planned   float64 // seconds
	cpu, wall time.Duration
	at        time.Time
}

func (r *rig) cost() roundCost {
	r.tb.Helper()
	families, err := r.app.metrics.registry.Gather()
	if err != nil {
		r.tb.Fatal(err)
	}
	c := roundCost{at: time.Now()}
	for _, f := range families {
		if f.GetName() == "dynctl_reconcile_duration_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			c.rounds, c.planned = h.GetSampleCount(), h.GetSampleSum()
		}
	}
	c.cpu = r.cpu()
	return c
}

// cpu is what the process has used.
func (r *rig) cpu() time.Duration {
	r.tb.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		r.tb.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func (c roundCost) since(before roundCost) roundCost {
	return roundCost{rounds: c.rounds - before.rounds, planned: c.planned - before.planned, cpu: c.cpu - before.cpu, wall: c.at.Sub(before.at)}
}

// meanRound is the mean duration of a round in ms: to read the state and plan.
func meanRound(costs []roundCost) float64 {
	sum, n := 0.0, uint64(0)
	for _, c := range costs {
		sum, n = sum+c.planned, n+c.rounds
	}
	return sum / float64(max(n, 1)) * 1000
}
