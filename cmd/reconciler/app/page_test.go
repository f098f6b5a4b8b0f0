package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"dynctl/cmd/reconciler/app/ops"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv/natsd/natsdtest"
)

// The page begins with the last of what is stored and goes on with what happens;
// counters count the latter alone.
func TestEventsReachThePageAndTheCounters(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	nc, js := natsdtest.Connect(t)
	if err := events.EnsureStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	publisher, err := events.NewPublisher(js, events.PublisherOptions{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Close(context.WithoutCancel(t.Context())) })
	reject := func(n int) {
		e := events.Event{ID: fmt.Sprint("e", n), Type: events.TypeSpecRejected, Source: "test", Object: fmt.Sprint("m", n), Time: time.Now(),
			Data: events.Data{Server: "default", Model: "m", Reason: state.ReasonEmptyModel}}
		if err := publisher.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for n := range timelineLength + 50 {
		reject(n)
	}

	a := &App{nc: nc, log: log, metrics: newMetrics(), page: ops.New(func() ops.Input { return ops.Input{} }, log)}
	a.metrics.leader(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.followEvents(ctx) }()
	defer func() { cancel(); <-done }()
	shows := func(text string) {
		t.Helper()
		mux := http.NewServeMux()
		a.page.Routes(mux)
		for {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
			if strings.Contains(w.Body.String(), text) {
				return
			}
			select {
			case <-t.Context().Done():
				t.Fatalf("the page never shows %q", text)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	shows(fmt.Sprintf("default/m%d<", timelineLength+49))
	shows(fmt.Sprintf("%d of %d</output>", timelineLength, timelineLength))
	shows("default/m50<")
	reject(1000)
	shows("default/m1000<")
	if got := testutil.ToFloat64(a.metrics.rejected.WithLabelValues(state.ReasonEmptyModel)); got != 1 {
		t.Errorf("%v rejections are counted, want the one since the start", got)
	}
}

func TestURLsWithAPasswordAreNotShown(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://10.0.0.3:4322":     "nats://10.0.0.3:4322",
		"nats://u:p@10.0.0.3:4322": "",
		"nats://token@10.0.0.3":    "",
		"nats://a,nats://u:p@b":    "",
	} {
		if got := withoutSecret(raw); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
