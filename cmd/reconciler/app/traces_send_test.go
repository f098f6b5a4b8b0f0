package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynctl/events"
)

// receiver is an OTLP receiver that keeps what it is sent.
func receiver(t *testing.T) (url string, got chan string) {
	t.Helper()
	got = make(chan string, 8)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func TestTracesReachAReceiver(t *testing.T) {
	for _, tc := range []struct{ name, flag, env, path string }{
		{"by the flag", "", "", "/v1/traces"},
		{"by the flag, with a path of its own", "/otlp", "", "/otlp/v1/traces"},
		{"by the flag, the whole address", "/v1/traces", "", "/v1/traces"},
		{"by the environment", "-", "OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, got := receiver(t)
			cfg := Config{ID: "r7", OTLPEndpoint: url + tc.flag}
			if tc.env != "" {
				t.Setenv(tc.env, url)
				cfg.OTLPEndpoint = ""
			}
			log := slog.New(slog.NewTextHandler(t.Output(), nil))
			traces, err := openTraces(t.Context(), cfg, log)
			if err != nil {
				t.Fatal(err)
			}
			j := &aJourney{traces: traces}
			j.begun(true)
			j.see(true, wholeWay()...)
			j.close(t.Context(), log)
			select {
			case sent := <-got:
				if !strings.HasPrefix(sent, "POST "+tc.path+" application/x-protobuf ") {
					t.Errorf("sent %.60q", sent)
				}
				for _, want := range []string{"dynctl-reconciler", "r7", "serve model", "start unit", "register", "model.default.m@6"} {
					if !strings.Contains(sent, want) {
						t.Errorf("%q is not in what was sent", want)
					}
				}
			default:
				t.Error("nothing was sent")
			}
		})
	}
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	for _, env := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"} {
		t.Setenv(env, "")
	}
	off := func(why string) {
		t.Helper()
		if traces, err := openTraces(t.Context(), Config{}, slog.Default()); traces != nil || err != nil {
			t.Errorf("%s: %v %v", why, traces, err)
		}
	}
	off("nothing is set")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	off("OpenTelemetry is disabled")
	var none *traces
	in, result := wholeWay()[3].input()
	if n := testing.AllocsPerRun(100, func() {
		none.happened(events.Event{Type: events.TypeStart}, true)
		none.round(in, result, nil, true)
		if none.parent(events.Data{Model: "m"}) != "" {
			t.Error("a trace without traces")
		}
	}); n != 0 {
		t.Errorf("%v allocations while off", n)
	}
	none.close(t.Context(), slog.Default())
	for endpoint, ok := range map[string]bool{"": true, "http://h:4318": true, "https://h/otlp": true, "h:4318": false, "grpc://h:4317": false, "http://": false} {
		if _, err := ParseFlags([]string{"--otlp-endpoint", endpoint}, io.Discard); (err == nil) != ok {
			t.Errorf("--otlp-endpoint %q: %v", endpoint, err)
		}
	}
}

func TestAReceiverThatIsAwayIsNoError(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	lines := newLogLines()
	log := slog.New(slog.NewJSONHandler(lines, nil))
	traces, err := openTraces(t.Context(), Config{OTLPEndpoint: gone.URL}, log)
	if err != nil {
		t.Fatal(err)
	}
	j := &aJourney{traces: traces}
	j.begun(true)
	j.see(true, wholeWay()...)
	j.close(t.Context(), log)
	if got := lines.take(t); len(got) == 0 || got[0]["level"] != "WARN" {
		t.Errorf("logged %v", got)
	}
}
