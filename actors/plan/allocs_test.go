package plan_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
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
