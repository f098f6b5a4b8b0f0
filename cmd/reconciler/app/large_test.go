package app

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkLarge measures what a large fleet costs as a whole: that many new specs at once
// until all are started and until all are ready; one plan of all without any memory of
// those before; some changes beside it; what the process holds in memory, and what of it is
// the reconciler's; and a reconciler that starts beside all of them running, which sends no
// command. The simulation runs in the same process.
func BenchmarkLarge(b *testing.B) {
	for _, models := range []int{250, 1000, 4000, 10000} {
		b.Run(fmt.Sprintf("models=%d", models), func(b *testing.B) {
			for range b.N {
				measureLarge(b, models)
			}
		})
	}
}

// changesBesideMany are fewer: they are for the median.
const changesBesideMany = 20

func measureLarge(b *testing.B, models int) {
	b.ReportMetric(0, "ns/op")
	r := newRigOn(b, nodesFor(models+changesBesideMany), startStore(b))
	r.measureAtOnce(b, models)
	<-time.After(rests)
	r.measureIdle(b)
	r.measurePlan(b)
	r.measurePutsAndExits(b, models, changesBesideMany)
	b.ReportMetric(float64(heap())/(1<<20), "heap-MB") // the simulation and the store included
	r.stop()
	alone := r.rest()
	b.ReportMetric(alone.cpu.Seconds()/alone.wall.Seconds()*100, "floor-idle-cpu-%") // simulation and store
	r.app = nil
	without := settledHeap()
	reportColdStarts(b, []coldStart{r.coldStart()})
	b.ReportMetric(float64(settledHeap()-without)/(1<<20), "own-heap-MB")
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

// settledHeap is the same at rest. What has ended lets go of its memory some seconds later, and
// what has begun needs more in its first ones.
func settledHeap() int64 {
	least := heap()
	for range 10 {
		<-time.After(time.Second)
		least = min(least, heap())
	}
	return least
}

// declareAtOnce puts models from several clients.
func (r *rig) declareAtOnce(models int) {
	together(models, func(i int) { r.declareOne(modelName(i)) })
}

// together does so many things, 32 of them at a time.
func together(many int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < many; i = int(next.Add(1)) - 1 {
				do(i)
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
