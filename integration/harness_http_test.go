//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Answer is what a model said.
type Answer struct {
	Text   string
	Tokens int
	// PrefillWorker and DecodeWorker are the instance ids (leases) that served it;
	// an aggregated worker is both.
	PrefillWorker, DecodeWorker int64
}

// URL is a path of the frontend.
func (s *Server) URL(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", s.Port, path) }

// Chat asks a model once; any failure ends the test.
func (s *Server) Chat(model, prompt string, maxTokens int) Answer {
	s.t.Helper()
	a, err := chat(s.t.Context(), s.URL("/v1/chat/completions"), model, prompt, maxTokens)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func request(ctx context.Context, url, model, prompt string, more map[string]any) (*http.Response, error) {
	body := map[string]any{
		"model": model, "messages": []map[string]string{{"role": "user", "content": prompt}},
		"nvext": map[string]any{"extra_fields": []string{"worker_id"}},
	}
	for k, v := range more {
		body[k] = v
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // for the message alone
		return nil, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return resp, nil
}

func chat(ctx context.Context, url, model, prompt string, maxTokens int) (Answer, error) {
	resp, err := request(ctx, url, model, prompt, map[string]any{"max_tokens": maxTokens})
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	var out struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Completion int `json:"completion_tokens"`
		}
		NVExt struct {
			WorkerID struct {
				Prefill int64 `json:"prefill_worker_id"`
				Decode  int64 `json:"decode_worker_id"`
			} `json:"worker_id"`
		} `json:"nvext"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return Answer{}, err
	}
	if len(out.Choices) == 0 {
		return Answer{}, fmt.Errorf("the answer has no choices")
	}
	return Answer{out.Choices[0].Message.Content, out.Usage.Completion, out.NVExt.WorkerID.Prefill, out.NVExt.WorkerID.Decode}, nil
}

// Stream is a streamed answer under way.
type Stream struct {
	// First is closed with the first chunk.
	First chan struct{}
	done  chan struct{}
	// Chunks and Err are set when the stream has ended. Err is nil only after [DONE].
	Chunks int
	Err    error
}

// Stream asks for tokens one by one, in the background.
func (s *Server) Stream(model, prompt string, maxTokens int) *Stream {
	st := &Stream{First: make(chan struct{}), done: make(chan struct{})}
	ctx := s.t.Context()
	go func() {
		defer close(st.done)
		st.Err = st.read(ctx, s.URL("/v1/chat/completions"), model, prompt, maxTokens)
	}()
	return st
}

func (st *Stream) read(ctx context.Context, url, model, prompt string, maxTokens int) error {
	more := map[string]any{"max_tokens": maxTokens, "stream": true, "ignore_eos": true, "min_tokens": maxTokens}
	resp, err := request(ctx, url, model, prompt, more)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
			if strings.HasPrefix(lines.Text(), "event: error") {
				return fmt.Errorf("the stream says: %s", lines.Text())
			}
		case data == "[DONE]":
			return nil
		case strings.Contains(data, `"error"`) || !strings.Contains(data, `"choices"`):
			// Dynamo tells a stream that it cannot go on in a chunk, and [DONE] after it.
			return fmt.Errorf("after %d chunks the stream says: %s", st.Chunks, data)
		default:
			if st.Chunks++; st.Chunks == 1 {
				close(st.First)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the stream ended after %d chunks without [DONE]", st.Chunks)
}

// underWay reports whether the stream has not ended.
func (st *Stream) underWay() bool {
	select {
	case <-st.done:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the stream.
func (st *Stream) Wait(t *testing.T, timeout time.Duration) {
	t.Helper()
	select {
	case <-st.done:
	case <-time.After(timeout):
		t.Fatalf("the stream runs on after %s", timeout)
	}
}

// Load asks a model at a steady rate, until stopped.
type Load struct {
	cancel context.CancelFunc
	loop   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	result LoadResult
	lastOK time.Time
}

// LoadResult counts the requests of a [Load].
type LoadResult struct {
	OK, Failed int
	// Late are those of Failed that were answered after all, but not within natsTimeout.
	Late int
	// Errors are the first few failures, with their time since the start.
	Errors []string
	// Gap is the longest time between two successful answers.
	Gap time.Duration
	// FirstOK is when the first answer came, and LastFailed when the last request that
	// failed was sent; zero: none. LastError is what it got.
	FirstOK, LastFailed time.Time
	LastError           string
}

const keptErrors = 10

// Load starts a load of so many short requests a second. A request that gets no
// answer within natsTimeout has failed, although it is waited for.
func (s *Server) Load(model string, perSecond int) *Load {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	l := &Load{cancel: cancel, loop: make(chan struct{}), lastOK: time.Now()}
	s.t.Cleanup(func() { l.Stop() })
	begin := time.Now()
	go func() {
		defer close(l.loop)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			l.wg.Go(func() {
				// Stopping the load lets requests finish: they count.
				one, cancel := context.WithTimeout(context.WithoutCancel(ctx), trafficTimeout)
				defer cancel()
				sent := time.Now()
				_, err := chat(one, s.URL("/v1/chat/completions"), model, fmt.Sprintf("request %d", n), 4)
				l.count(err, sent, time.Since(begin))
			})
		}
	}()
	return l
}

func (l *Load) count(err error, sent time.Time, since time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if took := time.Since(sent); err == nil && took >= natsTimeout {
		l.result.Late++
		err = fmt.Errorf("answered after %s", took.Round(time.Millisecond))
	}
	if err != nil {
		l.result.Failed++
		if sent.After(l.result.LastFailed) {
			l.result.LastFailed, l.result.LastError = sent, err.Error()
		}
		if len(l.result.Errors) < keptErrors {
			l.result.Errors = append(l.result.Errors, fmt.Sprintf("%.2f s: %v", since.Seconds(), err))
		}
		return
	}
	if l.result.OK++; l.result.OK == 1 {
		l.result.FirstOK = time.Now()
	}
	l.result.Gap = max(l.result.Gap, time.Since(l.lastOK))
	l.lastOK = time.Now()
}

// Failed is how many requests have failed so far.
func (l *Load) Failed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result.Failed
}

// Stop ends the load, waits for the requests under way and returns the counts.
func (l *Load) Stop() LoadResult {
	l.cancel()
	<-l.loop
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result
}

// TestLoadCounts: what took longer than Dynamo waits is a failure, and is told from one
// without an answer.
func TestLoadCounts(t *testing.T) {
	l := &Load{cancel: func() {}, loop: make(chan struct{}), lastOK: time.Now()}
	close(l.loop)
	l.count(nil, time.Now(), time.Second)
	l.count(nil, time.Now().Add(-natsTimeout-30*time.Millisecond), 11*time.Second)
	l.count(fmt.Errorf("503"), time.Now(), 12*time.Second)
	if r := l.Stop(); r.OK != 1 || r.Failed != 2 || r.Late != 1 || len(r.Errors) != 2 {
		t.Errorf("%+v, want 1 answer and 2 failures, 1 of them late", r)
	}
}
