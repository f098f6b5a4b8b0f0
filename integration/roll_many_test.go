//go:build integration

package integration

import (
	"fmt"
	"os"
	"slices"
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

// rollKind is a way in which generations follow one another.
type rollKind struct {
	name string
	make []func(*Server, string) string // each generation by one of them, in turn
}

func rollKinds() []rollKind {
	aggregated := func(s *Server, line string) string { return s.Mocker("m", 1, line) }
	disagg := func(s *Server, line string) string { return s.MockerDisagg("m", 1, 1, line) }
	return []rollKind{
		{"disagg", []func(*Server, string) string{disagg}},
		{"aggregated", []func(*Server, string) string{aggregated}},
		{"both", []func(*Server, string) string{aggregated, disagg}},
	}
}

// spec is generation n of the model.
func (k rollKind) spec(s *Server, n int) string {
	return k.make[n%len(k.make)](s, fmt.Sprintf("engineArgs: {max_num_seqs: %d}", 100+n))
}

// TestRollMany: a generation comes and goes whole. What is sent to one of which a role
// is not there yet, or no longer, is a matter of milliseconds, so there are many requests
// and, with ROLLS, many rolls.
func TestRollMany(t *testing.T) {
	rolls := rollsOf(t)
	for _, kind := range rollKinds() {
		t.Run(kind.name, func(t *testing.T) {
			for _, plane := range []string{"nats", "tcp"} {
				t.Run(plane, func(t *testing.T) {
					s := Shared(t).NewServer(t, "requestPlane: "+plane)
					s.Set(kind.spec(s, 0))
					s.Wait("m", "Ready", readyIn)
					load := s.Load("m", 100)
					failed := 0
					for n := range rolls {
						old := s.generations("m")[0]
						s.Set(kind.spec(s, n+1))
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

// TestRollManyFromZero: a model comes from nothing beside another, scaled up from no
// replica (or resumed) and declared again in turn, aggregated and disaggregated in turn. The other one
// loses no request. This one may be refused until it is Ready or has answered once, and
// not any more until it is taken away.
func TestRollManyFromZero(t *testing.T) {
	rolls := rollsOf(t)
	for _, plane := range []string{"nats", "tcp"} {
		t.Run(plane, func(t *testing.T) {
			s := Shared(t).NewServer(t, "requestPlane: "+plane)
			s.Set(s.Mocker("other", 1))
			s.Wait("other", "Ready", readyIn)
			other := s.Load("other", 50)
			answered, lost := 0, 0
			first := map[bool][]time.Duration{} // answer after the declaration, disaggregated or not
			for n := range rolls {
				disagg := n%4 >= 2 // and declared again every other time
				none, one := s.Mocker("m", 0), s.Mocker("m", 1)
				if disagg {
					none, one = s.MockerDisagg("m", 1, 1, "suspend: true"), s.MockerDisagg("m", 1, 1)
				}
				if n%2 == 0 {
					s.Set(none)
				}
				load := s.Load("m", 50)
				declared := time.Now()
				s.Set(one)
				s.Wait("m", "Ready", readyIn)
				ready := time.Now()
				time.Sleep(time.Second)
				r := load.Stop()
				answered += r.OK
				first[disagg] = append(first[disagg], r.FirstOK.Sub(declared))
				if served := earlier(ready, r.FirstOK); r.OK == 0 || r.LastFailed.After(served) {
					lost++
					t.Errorf("start %d of %d (disaggregated: %v): a request that was sent %s after it served failed: %s", n+1, rolls, disagg, r.LastFailed.Sub(served), r.LastError)
				}
				if n%2 == 0 {
					s.Set(none)
					Eventually(t, rollTime, "no unit", func() bool { return s.unitsWithout("other") == 0 })
				}
				s.Delete("model/m")
				s.Wait("m", "deleted", rollTime)
			}
			r := other.Stop()
			t.Logf("measured: %d starts: %d requests answered, %d starts lost one after the first; beside them %d answered, %d failed, longest gap %s",
				rolls, answered, lost, r.OK, r.Failed, r.Gap)
			for _, disagg := range []bool{false, true} {
				if at := slices.Sorted(slices.Values(first[disagg])); len(at) > 0 {
					t.Logf("measured: the first answer, disaggregated %v: median %s, longest %s", disagg, at[len(at)/2].Round(time.Millisecond), at[len(at)-1].Round(time.Millisecond))
				}
			}
			if r.Failed > 0 {
				t.Errorf("failed beside them: %v", r.Errors)
			}
		})
	}
}

// unitsWithout counts the units of models but one.
func (s *Server) unitsWithout(model string) (n int) {
	s.t.Helper()
	for _, u := range s.Units() {
		if u.Model != "" && u.Model != model {
			n++
		}
	}
	return n
}

// earlier is the earlier of two times, of which the second may be none.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
