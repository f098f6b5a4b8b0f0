package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	plainEvery     = 80 * time.Millisecond
	streamLanes    = 3
	streamTokens   = 60
	requestTimeout = 30 * time.Second
)

// request is one that was sent.
type request struct {
	model    string
	stream   bool
	from, to time.Time
	err      error
}

// clients are a client of plain requests and one of streams.
type clients struct {
	w      *world
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	sent []request
}

func (w *world) startClients() *clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{w: w, cancel: cancel}
	c.wg.Go(func() {
		tick := time.NewTicker(plainEvery)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-tick.C
			if models := w.servable(); len(models) > 0 {
				c.wg.Go(func() { c.send(models[n%len(models)], false, n) })
			}
		}
	})
	for lane := range streamLanes {
		c.wg.Go(func() {
			for n := lane; ctx.Err() == nil; n++ {
				models := w.servable()
				if len(models) == 0 || !c.send(models[n%len(models)], true, n) {
					time.Sleep(200 * time.Millisecond) // a refusal is not asked again a thousand times
				}
			}
		})
	}
	return c
}

func (c *clients) stop() {
	c.cancel()
	c.wg.Wait()
}

func (c *clients) send(model string, stream bool, n int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	r := request{model: model, stream: stream, from: time.Now()}
	r.err = ask(ctx, c.w.url("/v1/chat/completions"), model, stream, fmt.Sprintf("question %d, long enough to be split over blocks", n))
	r.to = time.Now()
	if r.err != nil {
		c.w.witness(ctx, r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, r)
	return r.err == nil
}

func ask(ctx context.Context, url, model string, stream bool, prompt string) error {
	body := map[string]any{"model": model, "max_tokens": 4, "messages": []map[string]string{{"role": "user", "content": prompt}}}
	if stream {
		body["stream"], body["max_tokens"], body["min_tokens"], body["ignore_eos"] = true, streamTokens, streamTokens, true
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // for the message alone
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	if stream {
		return readStream(resp.Body)
	}
	var out struct{ Choices []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return err
	}
	if len(out.Choices) == 0 {
		return errors.New("the answer has no choices")
	}
	return nil
}

func readStream(body io.Reader) error {
	chunks := 0
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok && strings.HasPrefix(lines.Text(), "event: error"):
			return fmt.Errorf("the stream says: %s", lines.Text())
		case data == "[DONE]":
			return nil
		case ok && (strings.Contains(data, `"error"`) || !strings.Contains(data, `"choices"`)):
			// Dynamo tells a stream that it cannot go on in a chunk, and [DONE] after it.
			return fmt.Errorf("after %d chunks the stream says: %s", chunks, data)
		case ok:
			chunks++
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after %d chunks: %w", chunks, err)
	}
	return fmt.Errorf("the stream ended after %d chunks without [DONE]", chunks)
}
