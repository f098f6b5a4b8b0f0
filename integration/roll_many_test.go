//go:build integration

package integration

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// rollsEnv says how often TestRollMany rolls each kind on each request plane. The tests
// of every day make do with a few; 100 take about a quarter of an hour for each:
//
//	ROLLS=100 go test -count=1 -tags integration -timeout 4h -run TestRollMany -v ./integration/
//	ROLLS=20 go test -count=1 -tags integration -timeout 1h -run 'TestRollMany/disagg/nats' -v ./integration/
const rollsEnv = "ROLLS"

func rollsOf(t *testing.T) int {
	t.Helper()
	text := os.Getenv(rollsEnv)
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of rolls", rollsEnv, text)
	}
	return n
}

// TestRollMany: a generation comes and goes whole. What is sent to one of which a role
// is not there yet, or no longer, is a matter of milliseconds, so there are many requests
// and, with ROLLS, many rolls.
func TestRollMany(t *testing.T) {
	rolls := rollsOf(t)
	aggregated := func(s *Server, line string) string { return s.Mocker("m", 1, line) }
	disagg := func(s *Server, line string) string { return s.MockerDisagg("m", 1, 1, line) }
	for _, kind := range []struct {
		name string
		make []func(*Server, string) string // each generation by one of them, in turn
	}{
		{"disagg", []func(*Server, string) string{disagg}},
		{"aggregated", []func(*Server, string) string{aggregated}},
		{"both", []func(*Server, string) string{aggregated, disagg}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, plane := range []string{"nats", "tcp"} {
				t.Run(plane, func(t *testing.T) {
					s := Shared(t).NewServer(t, "requestPlane: "+plane)
					spec := func(n int) string {
						return kind.make[n%len(kind.make)](s, fmt.Sprintf("engineArgs: {max_num_seqs: %d}", 100+n))
					}
					s.Set(spec(0))
					s.Wait("m", "Ready", readyIn)
					load := s.Load("m", 100)
					failed := 0
					for n := range rolls {
						old := s.generations("m")[0]
						s.Set(spec(n + 1))
						s.awaitGeneration("m", old, rollTime)
						if now := load.Failed(); now > failed {
							t.Logf("roll %d of %d lost %d requests", n+1, rolls, now-failed)
							failed = now
						}
					}
					time.Sleep(time.Second) // the last generation alone
					r := load.Stop()
					t.Logf("measured: %d rolls: %d requests answered, %d failed, longest gap %s", rolls, r.OK, r.Failed, r.Gap)
					if r.Failed > 0 {
						t.Errorf("failed: %v", r.Errors)
					}
				})
			}
		})
	}
}
