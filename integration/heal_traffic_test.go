//go:build integration

package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Traffic is what goes on while something fails: 20 short requests a second and
// three streams of 100 tokens, one after the other in each lane.
type Traffic struct {
	t      *testing.T
	cancel context.CancelFunc
	lanes  sync.WaitGroup
	began  time.Time

	mu     sync.Mutex
	lastOK time.Time
	result TrafficResult
}

// TrafficResult counts what a [Traffic] saw.
type TrafficResult struct {
	Plain, PlainFailed, Streams, StreamsFailed int
	// Errors are the first few failures, with their time since the start.
	Errors []string
	// Gap is the longest time between two plain answers, Slowest the longest time
	// that one took.
	Gap, Slowest time.Duration
	// Failed is when requests failed since the start, and Hung when those ended, in
	// whatever way, that had taken natsTimeout.
	Failed, Hung []time.Duration
}

const (
	trafficRate    = 20
	trafficLanes   = 3
	trafficTokens  = 100
	trafficTimeout = 25 * time.Second
)

// Traffic starts it and waits until it flows.
func (s *Server) Traffic(model string) *Traffic {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	tr := &Traffic{t: s.t, cancel: cancel, began: time.Now(), lastOK: time.Now()}
	s.t.Cleanup(func() { tr.Stop() })
	url := s.URL("/v1/chat/completions")
	// What is under way when the traffic stops is waited for: it counts.
	underWay := context.WithoutCancel(ctx)
	tr.lanes.Go(func() {
		tick := time.NewTicker(time.Second / trafficRate)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			tr.lanes.Go(func() {
				one, done := context.WithTimeout(underWay, trafficTimeout)
				defer done()
				asked := time.Now()
				_, err := chat(one, url, model, fmt.Sprintf("request %d", n), 4)
				tr.plain(err, time.Since(asked))
			})
		}
	})
	for range trafficLanes {
		tr.lanes.Go(func() {
			for ctx.Err() == nil {
				st := &Stream{First: make(chan struct{})}
				one, done := context.WithTimeout(underWay, trafficTimeout)
				asked := time.Now()
				err := st.read(one, url, model, "tell me more", trafficTokens)
				done()
				tr.stream(err, time.Since(asked))
				if err != nil {
					time.Sleep(100 * time.Millisecond) // a refused connection would be counted a thousand times
				}
			}
		})
	}
	tr.Flow(20)
	return tr
}

func (tr *Traffic) plain(err error, took time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	r := &tr.result
	r.Slowest = max(r.Slowest, took)
	tr.took(took)
	if err != nil {
		r.PlainFailed++
		tr.note(err)
		return
	}
	r.Plain++
	r.Gap = max(r.Gap, time.Since(tr.lastOK))
	tr.lastOK = time.Now()
}

func (tr *Traffic) stream(err error, took time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.took(took)
	if err != nil {
		tr.result.StreamsFailed++
		tr.note(fmt.Errorf("stream: %w", err))
		return
	}
	tr.result.Streams++
}

// took notes a request that ends now.
func (tr *Traffic) took(d time.Duration) {
	if d >= natsTimeout {
		tr.result.Hung = append(tr.result.Hung, time.Since(tr.began))
	}
}

func (tr *Traffic) note(err error) {
	tr.result.Failed = append(tr.result.Failed, time.Since(tr.began))
	if len(tr.result.Errors) < keptErrors {
		tr.result.Errors = append(tr.result.Errors, fmt.Sprintf("%.2f s: %v", time.Since(tr.began).Seconds(), err))
	}
}

// Flow waits for so many more plain answers.
func (tr *Traffic) Flow(n int) {
	tr.t.Helper()
	answers := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.result.Plain
	}
	want := answers() + n
	Eventually(tr.t, 30*time.Second, fmt.Sprintf("%d more answers", n), func() bool { return answers() >= want })
}

// Stop ends it, waits for what is under way and returns the counts.
func (tr *Traffic) Stop() TrafficResult {
	tr.cancel()
	tr.lanes.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.result
}

// RequireNone wants no request to have failed.
func (r TrafficResult) RequireNone(t *testing.T) {
	t.Helper()
	r.RequireAtMost(t, 0)
}

// RequireAtMost wants no more than that many requests to have failed.
func (r TrafficResult) RequireAtMost(t *testing.T, failed int) {
	t.Helper()
	if n := r.PlainFailed + r.StreamsFailed; n > failed {
		t.Errorf("%d requests failed: %s", n, strings.Join(r.Errors, "; "))
	}
	if r.Streams == 0 {
		t.Error("no stream ended, so nothing is proven of streams")
	}
}

// String is one line of a report.
func (r TrafficResult) String() string {
	return fmt.Sprintf("%d requests and %d streams, %d failed, longest gap %s, slowest answer %s", r.Plain+r.PlainFailed, r.Streams+r.StreamsFailed,
		r.PlainFailed+r.StreamsFailed, r.Gap.Round(time.Millisecond), r.Slowest.Round(time.Millisecond))
}
