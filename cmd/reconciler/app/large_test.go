package app

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors/plan"
	"dynctl/state/kv/natsd"
)

// BenchmarkLarge measures what a large fleet costs as a whole: that many new specs at once
// until all are started and until all are ready; one plan of all without any memory of
// those before; what the process holds in memory; and a reconciler that starts beside
// all of them running, which sends no command. The simulation runs in the same process.
func BenchmarkLarge(b *testing.B) {
	for _, models := range []int{250, 1000, 4000, 10000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			for range b.N {
				measureLarge(b, models)
			}
		})
	}
}

func measureLarge(b *testing.B, models int) {
	server, err := natsd.Start(natsd.Options{Host: "127.0.0.1", Port: -1, StoreDir: b.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Shutdown(b.Context()) })
	r := newRigOn(b, models/8+8, server.URL())
	began, cpu := time.Now(), r.cpu()
	r.declareAtOnce(models)
	put := time.Since(began)
	started := r.poll("all are started", func() bool { return len(r.first) > models }) // and the infra unit
	startedCPU := r.cpu() - cpu
	ready := r.poll("all are ready", func() bool { return count(r.ready, "model.") == models })
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(put.Seconds(), "put-all-s")
	b.ReportMetric(started.Sub(began).Seconds(), "all-started-s")
	b.ReportMetric(startedCPU.Seconds(), "all-started-cpu-s")
	b.ReportMetric(ready.Sub(began).Seconds(), "all-ready-s")
	<-time.After(5 * time.Second)
	idle := r.spend(func() { <-time.After(5 * time.Second) })
	b.ReportMetric(idle.cpu.Seconds()/idle.wall.Seconds()*100, "idle-cpu-%")

	best := time.Hour
	for range 5 {
		cpu := r.cpu()
		plan.Plan(r.app.snapshot.Load().input)
		best = min(best, r.cpu()-cpu)
	}
	b.ReportMetric(float64(best.Microseconds())/1000, "plan-cpu-ms")
	b.ReportMetric(float64(heap())/(1<<20), "heap-MB") // the simulation and the store included
	r.stop()
	measureColdStart(b, r)
}

// measureColdStart starts a reconciler beside all that runs.
func measureColdStart(b *testing.B, r *rig) {
	var commands atomic.Int64
	for _, verb := range []string{"start", "stop", "sweep"} {
		r.subscribe("dynctl.events.*."+verb+".>", func(*nats.Msg) { commands.Add(1) })
	}
	cpu, began := r.cpu(), time.Now()
	r.start("http://127.0.0.1:1")
	r.poll("it leads and knows all", func() bool {
		s := r.app.snapshot.Load()
		return s != nil && s.input.Desired.Synced && s.input.Observed.Synced && r.app.metrics.leadsNow() && r.roundsOf(roundIdle) > 0
	})
	b.ReportMetric(time.Since(began).Seconds(), "cold-start-s")
	b.ReportMetric((r.cpu() - cpu).Seconds(), "cold-start-cpu-s")
	<-time.After(5 * time.Second)
	b.ReportMetric(float64(commands.Load()), "cold-commands")
}

func (m *metrics) leadsNow() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leads
}

// heap is what is reachable, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// declareAtOnce puts models from several clients.
func (r *rig) declareAtOnce(models int) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < models; i = int(next.Add(1)) - 1 {
				r.declareOne(modelName(i))
			}
		})
	}
	wg.Wait()
}

func count(set map[string]bool, prefix string) (n int) {
	for key, in := range set {
		if in && strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// poll looks now and then, which costs less than looking at each change, and says when it
// held.
func (r *rig) poll(what string, ok func() bool) time.Time {
	r.tb.Helper()
	for late := time.Now().Add(10 * rigPatience); ; time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		holds := ok()
		r.mu.Unlock()
		switch {
		case holds:
			return time.Now()
		case time.Now().After(late):
			r.tb.Fatalf("%s: not in time", what)
		}
	}
}
