package plan_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
)

var updateAllocs = flag.Bool("update-allocs", false, "record how often the planner allocates")

const (
	allocsFile = "testdata/allocs.txt"
	// allocsModels is the size of the fleets whose allocations are counted.
	allocsModels = 100
)

// What is measured allocates no more than half as much again as was recorded: counted, so
// it does not matter how fast or busy the machine is. -update-allocs records it anew.
func TestAllocationsStayAsRecorded(t *testing.T) {
	recorded := map[string]float64{}
	text, err := os.ReadFile(allocsFile)
	if err != nil && !*updateAllocs {
		t.Fatalf("%v; record it with go test ./actors/plan -run TestAllocations -update-allocs", err)
	}
	for line := range bytes.Lines(text) {
		var name string
		var n float64
		if _, err := fmt.Sscan(string(line), &name, &n); err == nil {
			recorded[name] = n
		}
	}
	var now bytes.Buffer
	for _, m := range everyMeasured() {
		do := m.make(t, allocsModels)
		do()
		n := testing.AllocsPerRun(3, do)
		fmt.Fprintf(&now, "%s %.0f\n", m.name, n)
		was, ok := recorded[m.name]
		switch {
		case *updateAllocs:
		case !ok:
			t.Errorf("%s is not recorded in %s; record it with -update-allocs", m.name, allocsFile)
		case n > 1.5*was+8:
			t.Errorf("%s allocates %.0f times for %d models, and %.0f were recorded: find why, or record it with -update-allocs and say why", m.name, n, allocsModels, was)
		}
	}
	if *updateAllocs {
		if err := os.WriteFile(allocsFile, now.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// bytesPerModel is what the acceptance of one more model may allocate for each model that
// rests beside it: the list of all is handed out anew, with a pointer to each, as the one
// before may still be read.
const bytesPerModel = 10

// raceBytes is what the race detector may add to that: values are larger with it.
const raceBytes = 2

// One more model beside many is accepted without a copy of what is kept of the others. What
// is allocated has to be collected, so beside a large fleet bytes are most of what it costs.
func TestOneMoreModelCopiesNoMoreThanWhatIsHandedOut(t *testing.T) {
	const few, many = 200, 2000
	beside := acceptedBeside()
	bytesBeside := func(models int) float64 {
		do := beside.make(t, models)
		do()
		least := uint64(math.MaxUint64) // somebody else may allocate meanwhile
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			do()
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		return float64(least)
	}
	limit := bytesPerModel
	if raceDetector {
		limit += raceBytes
	}
	if each := (bytesBeside(many) - bytesBeside(few)) / (many - few); each > float64(limit) {
		t.Errorf("it allocates %.1f bytes for each model beside it, and may %d: find what is copied", each, limit)
	}
}
