package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dynctl/cmd/reconciler/app/door"
)

const (
	// maxStreams bounds the pages that are open at once, maxStreamsEach those of one
	// client.
	maxStreams, maxStreamsEach = 64, 8
	// settleTime lies between two updates of one page: rounds come in bursts.
	settleTime = 200 * time.Millisecond
	// keepAlive is the longest silence; proxies close what is silent.
	keepAlive = 15 * time.Second
	// writeTimeout ends the stream of a reader that is gone.
	writeTimeout = 10 * time.Second
)

// eventID names a place in the timeline of one process.
func eventID(boot string, number uint64) string { return fmt.Sprintf("%s-%d", boot, number) }

// since is the number to go on after: 0 where the reader saw another process.
func (p *Page) since(r *http.Request) (number uint64, same bool) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("after")
	}
	boot, n, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(n, 10, 64)
	if boot != p.boot || err != nil {
		return 0, false
	}
	return number, true
}

// stream sends every section that changes and every new row of the timeline. It
// begins with all sections, so that a reader who was away has missed nothing.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	leave, err := p.streams.Enter(door.Client(r))
	if err != nil {
		door.Deny(w, err)
		return
	}
	defer leave()
	h := w.Header()
	secure(h)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	number, same := p.since(r)
	s := &stream{page: p, w: w, control: http.NewResponseController(w), sent: map[string]string{}, number: number, reset: !same}
	if err := s.run(r.Context()); err != nil {
		p.log.Debug("ops page: a stream ended", "err", err)
	}
}

// stream is one open page.
type stream struct {
	page    *Page
	w       http.ResponseWriter
	control *http.ResponseController
	sent    map[string]string // version by section
	number  uint64            // of the last row that was sent
	reset   bool              // the reader's rows are those of another process
}

func (s *stream) run(ctx context.Context) error {
	if _, err := fmt.Fprint(s.w, "retry: 1000\n\n"); err != nil {
		return err
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		s.page.mu.Lock()
		changed := s.page.changed
		s.page.mu.Unlock()
		if err := s.update(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-alive.C:
			if err := s.write(": still here\n\n"); err != nil {
				return err
			}
		case <-changed:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(settleTime):
			}
		}
	}
}

// update sends what the reader does not have yet.
func (s *stream) update() error {
	parts, err := s.page.current()
	if err != nil {
		return err
	}
	for _, part := range parts {
		if s.sent[part.ID] == part.Version {
			continue
		}
		if err := s.send("section", "", part); err != nil {
			return err
		}
		s.sent[part.ID] = part.Version
	}
	rows, last := s.page.Timeline.after(s.number)
	if len(rows) == 0 && !s.reset {
		return s.control.Flush()
	}
	news := struct {
		Reset bool     `json:"reset"`
		Rows  []string `json:"rows"`
	}{Reset: s.reset, Rows: []string{}}
	for _, r := range rows {
		row, err := render("row", r)
		if err != nil {
			return err
		}
		news.Rows = append(news.Rows, row)
	}
	s.number, s.reset = last, false
	return s.send("rows", eventID(s.page.boot, last), news)
}

func (s *stream) send(event, id string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.write(fmt.Sprintf("event: %s\n%sdata: %s\n\n", event, id, data))
}

func (s *stream) write(text string) error {
	// Not every writer has deadlines; those of net/http do.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
