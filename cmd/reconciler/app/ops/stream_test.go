package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/events"
)

// frame is one event of a stream of server-sent events.
type frame struct{ event, id, data string }

// reader is a page that is open. It serves the requests in-process, so that time
// is the test's.
type reader struct {
	t      *testing.T
	frames chan frame
	cancel context.CancelFunc
	code   chan int
}

// open asks for the stream; after and last are where the reader has been.
func open(t *testing.T, p *Page, after, last string) *reader {
	return openFrom(t, p, "192.0.2.1", after, last)
}

// openFrom is open for a reader at an address.
func openFrom(t *testing.T, p *Page, address, after, last string) *reader {
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{t: t, frames: make(chan frame, 100), cancel: cancel, code: make(chan int, 1)}
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/events?after="+after, http.NoBody)
	request.RemoteAddr = address + ":4000"
	request.Header.Set("X-Forwarded-For", "203.0.113."+fmt.Sprint(time.Now().Nanosecond()%250)) // whatever a client says
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	w := &recorder{header: http.Header{}, frames: r.frames}
	go func() {
		p.stream(w, request)
		if w.code == 0 {
			w.code = http.StatusOK
		}
		r.code <- w.code
	}()
	return r
}

// recorder cuts what is written into frames.
type recorder struct {
	header http.Header
	code   int
	frames chan frame
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) WriteHeader(code int) {
	w.code = code
}
func (w *recorder) Flush() {}
func (w *recorder) Write(b []byte) (int, error) {
	var f frame
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			f.event = value
		case "id":
			f.id = value
		case "data":
			f.data = value
		}
	}
	if f.event != "" {
		w.frames <- f
	}
	return len(b), nil
}

// all are the frames that have arrived, by what they carry: the section's id, or
// "rows" with their number.
func (r *reader) all() (got []string, lastID string) {
	synctest.Wait()
	for {
		select {
		case f := <-r.frames:
			switch f.event {
			case "section":
				var part part
				if err := json.Unmarshal([]byte(f.data), &part); err != nil {
					r.t.Fatal(err)
				}
				if !strings.HasPrefix(part.HTML, `<section id="`+part.ID+`"`) {
					r.t.Errorf("section %s begins with %.40q", part.ID, part.HTML)
				}
				got = append(got, part.ID)
			case "rows":
				var news struct {
					Reset bool
					Rows  []string
				}
				if err := json.Unmarshal([]byte(f.data), &news); err != nil {
					r.t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("rows %d reset %v", len(news.Rows), news.Reset))
				lastID = f.id
			}
		default:
			return got, lastID
		}
	}
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, src := newTestPage(t)
		r := open(t, p, eventID(p.boot, 9), "")
		got, _ := r.all()
		expect(t, got, "summary", "models", "nodes", "units")

		// A round that changes nothing says nothing.
		p.Changed()
		sleepSettle()
		got, _ = r.all()
		expect(t, got)

		// Only what changed is sent, however many rounds there were.
		src.set(healed())
		for range 20 {
			p.Changed()
		}
		sleepSettle()
		got, _ = r.all()
		expect(t, got, "summary", "models")

		p.Timeline.Add(happening(10, events.TypeUnitReady, "llama-70b", "u", "OK", "now"))
		p.Timeline.Add(happening(11, events.TypeUnitReady, "llama-70b", "v", "OK", "now"))
		sleepSettle()
		got, last := r.all()
		expect(t, got, "rows 2 reset false")
		if last != eventID(p.boot, 11) {
			t.Errorf("the last id is %s", last)
		}
		r.cancel()
		<-r.code
	})
}

// sleepSettle lets the time pass that lies between two updates, on the clock of the bubble.
func sleepSettle() {
	synctest.Wait()
	time.Sleep(settleTime + time.Millisecond)
}

func TestReconnectMissesAndRepeatsNothing(t *testing.T) {
	for _, tc := range []struct {
		name, after, last string
		want              string
	}{
		{"where the page was rendered", "BOOT-9", "", ""},
		{"behind", "BOOT-4", "", "rows 5 reset false"},
		{"the browser's own header wins", "BOOT-2", "BOOT-7", "rows 2 reset false"},
		{"another process: all of it, in place of what is there", "elsewhere-7", "", "rows 9 reset true"},
		{"nonsense", "x", "", "rows 9 reset true"},
		{"nothing", "", "", "rows 9 reset true"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newTestPage(t)
				r := open(t, p, strings.ReplaceAll(tc.after, "BOOT", p.boot), strings.ReplaceAll(tc.last, "BOOT", p.boot))
				got, _ := r.all()
				want := []string{"summary", "models", "nodes", "units"}
				if tc.want != "" {
					want = append(want, tc.want)
				}
				expect(t, got, want...)
				r.cancel()
				<-r.code
			})
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestPage(t)
		var readers []*reader
		for i := range maxStreams {
			readers = append(readers, openFrom(t, p, fmt.Sprintf("192.0.2.%d", i/maxStreamsEach), "", ""))
			synctest.Wait()
			if i == maxStreamsEach-1 {
				if code := <-openFrom(t, p, "192.0.2.0", "", "").code; code != http.StatusTooManyRequests {
					t.Errorf("one too many of one client: status %d", code)
				}
			}
		}
		if code := <-openFrom(t, p, "192.0.2.200", "", "").code; code != http.StatusServiceUnavailable {
			t.Errorf("one too many: status %d", code)
		}
		readers[0].cancel()
		<-readers[0].code
		again := openFrom(t, p, "192.0.2.200", "", "")
		got, _ := again.all()
		if len(got) == 0 {
			t.Error("a place that was given back cannot be taken")
		}
		for _, r := range append(readers[1:], again) {
			r.cancel()
			<-r.code
		}
	})
}

// The real server: headers, and a stream that ends with the client.
func TestStreamOverHTTP(t *testing.T) {
	p, _ := newTestPage(t)
	mux := http.NewServeMux()
	p.Routes(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	seen := 0
	for seen < 5 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: ") {
			seen++
		}
	}
	if seen != 5 {
		t.Errorf("%d events arrived, want four sections and the rows: %v", seen, lines.Err())
	}
}

func TestTimelineIsBounded(t *testing.T) {
	p, _ := newTestPage(t)
	for i := range 1000 {
		p.Timeline.Add(happening(i, events.TypePlan, "", "plan", "Planned", ""))
	}
	rows, last := p.Timeline.after(0)
	if len(rows) != timelineSize || last != 1009 || rows[0].Number != 710 {
		t.Errorf("%d rows from %d to %d", len(rows), rows[0].Number, last)
	}
	if rows, _ := p.Timeline.after(1007); len(rows) != 2 {
		t.Errorf("%d rows after 1007, want 2", len(rows))
	}
	if rows, _ := p.Timeline.after(5000); len(rows) != 0 {
		t.Errorf("%d rows after the last", len(rows))
	}
}

func TestTroubleIsWhatSomebodyMayHaveToLookAt(t *testing.T) {
	for _, typ := range []string{
		events.TypeSpecRejected, events.TypePlacementFailed, events.TypeUnitExited, events.TypeUnitBackoff, events.TypeOrphanFound,
		events.TypeRolloutStalled, events.TypeLeaderLost, events.TypeAgentLost, events.TypeDeletionBlocked,
	} {
		if !isTrouble(typ) {
			t.Errorf("%s is no trouble", typ)
		}
	}
	for _, typ := range []string{events.TypeStart, events.TypeUnitReady, events.TypePlan, events.TypeUnitStopped, "anything"} {
		if isTrouble(typ) {
			t.Errorf("%s is trouble", typ)
		}
	}
}
