//go:build integration

package integration

import (
	"strings"
	"testing"
	"time"
)

// slowTokens makes a stream of 200 tokens last for several seconds.
const slowTokens = "engineArgs: {decode_speedup_ratio: 0.3}"

// flight starts streams and waits until each has its first token.
func (s *Server) flight(model string, n, tokens int) []*Stream {
	s.t.Helper()
	var out []*Stream
	for range n {
		out = append(out, s.Stream(model, "a long story", tokens))
	}
	for _, st := range out {
		select {
		case <-st.First:
		case <-st.done: // perhaps with all that it had to say
			if st.Err != nil || st.Chunks == 0 {
				s.t.Fatalf("a stream ended before its first token: %v", st.Err)
			}
		case <-time.After(20 * time.Second):
			s.t.Fatal("no first token within 20 s")
		}
	}
	return out
}

// requireWhole wants each stream to have ended by itself.
func requireWhole(t *testing.T, streams []*Stream) {
	t.Helper()
	for i, st := range streams {
		st.Wait(t, time.Minute)
		if st.Err != nil {
			t.Errorf("stream %d: %v after %d chunks", i, st.Err, st.Chunks)
		}
	}
}

func requireUnderWay(t *testing.T, streams []*Stream) {
	t.Helper()
	for _, st := range streams {
		if !st.underWay() {
			t.Fatalf("a stream ended before the stop began, so nothing is proven (%v)", st.Err)
		}
	}
}

// TestRollDrains: streams under way complete, whatever stops their worker, and
// the lease of no worker that lives is touched.
func TestRollDrains(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 2, slowTokens))
	s.Wait("m", "Ready", readyIn)
	kept := s.Workers("m", "")[0]

	t.Run("scale down", func(t *testing.T) {
		streams := s.flight("m", 6, 200)
		s.Dynctl("scale", "model/m", "--replicas", "1")
		requireUnderWay(t, streams)
		requireWhole(t, streams)
		Eventually(t, backIn, "one unit", func() bool { return len(s.UnitsOf("m", "")) == 1 })
		if w := s.Workers("m", "")[0]; w.Lease != kept.Lease || w.Attempt != 1 || !s.Leases()[w.Lease] {
			t.Errorf("the worker that stays has lease %x in attempt %d, want %x in 1", w.Lease, w.Attempt, kept.Lease)
		}
	})
	t.Run("roll", func(t *testing.T) {
		streams := s.flight("m", 6, 300)
		old := s.generations("m")[0]
		s.Set(s.Mocker("m", 1, "engineArgs: {decode_speedup_ratio: 0.3, max_num_seqs: 128}"))
		requireUnderWay(t, streams)
		requireWhole(t, streams)
		s.awaitGeneration("m", old, rollTime)
	})
	t.Run("delete", func(t *testing.T) {
		streams := s.flight("m", 6, 200)
		s.Delete("model/m")
		requireUnderWay(t, streams)
		requireWhole(t, streams)
		Eventually(t, backIn, "no unit", func() bool { return len(s.UnitsOf("m", "")) == 0 })
	})
}

// TestRollDrainIsBounded: past the grace period what still runs is cut, and the
// event says how many requests that cost.
func TestRollDrainIsBounded(t *testing.T) {
	s := Shared(t).NewServer(t)
	s.Set(s.Mocker("m", 1, slowTokens, "terminationGracePeriod: 2s"))
	s.Wait("m", "Ready", readyIn)
	streams := s.flight("m", 3, 2000)
	began := time.Now()
	s.Delete("model/m")
	Eventually(t, backIn, "no unit", func() bool { return len(s.UnitsOf("m", "")) == 0 })
	within(t, "delete to gone with a grace period of 2 s", time.Since(began), 15*time.Second)
	cut := 0
	for _, st := range streams {
		st.Wait(t, backIn)
		if st.Err != nil {
			cut++
		}
	}
	message := ""
	for _, ev := range s.Events("unit-stopped") {
		if d := ev.Decode(t); d.Model == "m" {
			message = d.Message
		}
	}
	if cut != 3 || !strings.Contains(message, "3 requests") {
		t.Errorf("%d of 3 streams were cut; the event says %q, want how many requests were lost", cut, message)
	}
}
