package main

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// kill is what clients saw of the end of a worker.
type kill struct {
	Plane    string   `json:"plane"` // of requests
	Requests requests `json:"requests"`
}

// requests around a kill, in the order in which they began.
type requests []asked

// asked is one request; its times are in ms.
type asked struct {
	begun  float64 // after the kill; below 0: before it
	took   float64
	failed bool
}

var _ encoding.TextMarshaler = requests{}

// MarshalText writes when each began and what it took, as in "-5.0+3.2 0.1+8.4! 5.0+2.9",
// where ! marks one that has failed: a line for each would make the record unreadable.
func (r requests) MarshalText() ([]byte, error) {
	words := make([]string, 0, len(r))
	for _, a := range r {
		mark := map[bool]string{true: "!"}[a.failed]
		words = append(words, fmt.Sprintf("%.1f+%.1f%s", a.begun, a.took, mark))
	}
	return []byte(strings.Join(words, " ")), nil
}

// UnmarshalText reads it again.
func (r *requests) UnmarshalText(text []byte) error {
	*r = nil
	for word := range strings.FieldsSeq(string(text)) {
		var a asked
		word, a.failed = strings.CutSuffix(word, "!")
		if _, err := fmt.Sscanf(word, "%f+%f", &a.begun, &a.took); err != nil {
			return fmt.Errorf("request %q: %w", word, err)
		}
		*r = append(*r, a)
	}
	return nil
}

// figures are what a table says of a kill.
func (k kill) figures() map[string]float64 {
	out := map[string]float64{
		"kill-silence": k.silence(0, k.lastBegun()), "silence-before": k.silence(k.Requests[0].begun, 0),
		"kill-slowest": 0, "kill-failed-count": 0, "kill-asked-count": 0,
	}
	for _, a := range k.Requests {
		if a.begun+a.took < 0 {
			continue // it was over before
		}
		out["kill-asked-count"]++
		out["kill-slowest"] = max(out["kill-slowest"], a.took)
		if a.failed {
			out["kill-failed-count"]++
		}
	}
	return out
}

// lastBegun is when nobody asked any more.
func (k kill) lastBegun() float64 { return k.Requests[len(k.Requests)-1].begun }

// silence is the longest time in which no request was answered, of that which ends between
// two moments.
func (k kill) silence(from, to float64) (longest float64) {
	var answers []float64
	for _, a := range k.Requests {
		if end := a.begun + a.took; !a.failed && end <= to {
			answers = append(answers, end)
		}
	}
	slices.Sort(answers)
	before := from
	for _, at := range answers {
		if at > from {
			longest = max(longest, at-before)
		}
		before = at
	}
	return max(longest, to-before)
}

func (k kill) String() string {
	f := k.figures()
	return fmt.Sprintf("%.0f ms without an answer (%.0f ms before it), slowest %.0f ms, %.0f of %.0f failed",
		f["kill-silence"], f["silence-before"], f["kill-slowest"], f["kill-failed-count"], f["kill-asked-count"])
}

// asker begins a request every 5 ms, and does not wait for those before.
type asker struct {
	cancel context.CancelFunc
	client http.Client
	url    string
	model  string

	ticking, asking sync.WaitGroup
	mu              sync.Mutex
	all             []ended
}

type ended struct {
	begun time.Time
	took  time.Duration
	err   error
}

// askerOf is one that begins nothing by itself.
func askerOf(port int, model string) *asker {
	return &asker{url: fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", port), model: model,
		client: http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

func newAsker(ctx context.Context, port int, model string) *asker {
	a := askerOf(port, model)
	ctx, a.cancel = context.WithCancel(ctx)
	a.ticking.Go(func() {
		for tick := time.NewTicker(pollEvery); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				a.asking.Go(a.one)
			}
		}
	})
	return a
}

// one asks for a short stream, and reads it to its end.
func (a *asker) one() {
	begun := time.Now()
	err := a.stream()
	took := time.Since(begun)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, ended{begun, took, err})
}

func (a *asker) stream() error {
	body := fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "stream": true}`, a.model)
	resp, err := a.client.Post(a.url, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK, !strings.Contains(string(text), "data: [DONE]"):
		return fmt.Errorf("%w: %s: %.200s", errFailed, resp.Status, text)
	}
	return nil
}

// stop begins no more, waits for all that were begun, and tells them by a moment.
func (a *asker) stop(at time.Time) (out requests) {
	a.cancel()
	a.ticking.Wait()
	a.asking.Wait()
	a.client.CloseIdleConnections()
	slices.SortFunc(a.all, func(x, y ended) int { return x.begun.Compare(y.begun) })
	for _, e := range a.all {
		out = append(out, asked{milliseconds(e.begun.Sub(at)), milliseconds(e.took), e.err != nil})
	}
	return out
}
