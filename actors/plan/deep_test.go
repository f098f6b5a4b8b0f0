package plan_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

var (
	walkSeed  = flag.Uint64("walk.seed", 0, "make the walk of this seed alone")
	walkFrom  = flag.Uint64("walk.from", 0, "begin with the walk after this seed")
	walkSteps = flag.Int("walk.steps", 0, "planner steps of the deep walk; 0: a million, and fewer under the race detector")
)

// walkTime bounds the deep walk on a slow machine.
var walkTime = flag.Duration("walk.time", 55*time.Second, "time for the deep walk")

// TestDeepWalk makes many walks over the simulated cluster until the planner has made
// a million steps. A failure prints the seed of its walk; -walk.seed makes that again.
func TestDeepWalk(t *testing.T) {
	if *walkSeed != 0 {
		deepWalk(t, *walkSeed)
		return
	}
	want := int64(1_000_000)
	switch {
	case *walkSteps > 0:
		want = int64(*walkSteps)
	case raceDetector:
		want = 20_000
	case testing.Short():
		want = 20_000
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	var made, walks, spared atomic.Int64
	seeds := atomic.Uint64{}
	seeds.Store(*walkFrom)
	began := time.Now()
	t.Run("walks", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for made.Load() < want && time.Since(began) < *walkTime && !t.Failed() {
					steps, saved := deepWalk(t, seeds.Add(1))
					made.Add(int64(steps))
					spared.Add(int64(saved))
					walks.Add(1)
				}
			})
		}
	})
	t.Logf("%d planner steps in %d walks, %s (%d wanted, race detector %v); %d times a model was taken as it was",
		made.Load(), walks.Load(), time.Since(began).Round(time.Millisecond), want, raceDetector, spared.Load())
	if spared.Load() == 0 {
		t.Error("no model was ever taken as it was: the memory of the planner is not tried")
	}
}

// deepWalk makes one walk, with pauses in which it must settle, and returns its steps and
// how often a model was taken as it was.
func deepWalk(t *testing.T, seed uint64) (steps, spared int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := startWalk()
	f := seeded{t, seed}
	pick := func(_ string, n int) int { return rng.IntN(n) }
	for range 8 {
		for range 60 {
			w.step(pick, anything)
			for range rng.IntN(12) {
				w.live(f, rng.IntN(512) == 0)
			}
		}
		if rng.IntN(2) == 0 {
			clear(w.broken)
			clear(w.brokenRole)
		}
		w.quiesce(f)
		w.converged(f)
	}
	return w.rounds, w.lasting.spared
}

// seeded tells how to make a failed walk again.
type seeded struct {
	t    *testing.T
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d (go test ./actors/plan -run TestDeepWalk -walk.seed=%d): %s", s.seed, s.seed, fmt.Sprintf(format, args...))
}
