package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dynctl/actors"
	"dynctl/state/kv"
)

// snapshot is the last round, for those who ask over HTTP.
type snapshot struct {
	input  actors.Input
	result actors.Result
}

// show makes a round visible.
func (a *App) show(in actors.Input, r actors.Result) {
	a.snapshot.Store(&snapshot{in, r})
	a.metrics.round(in, r)
	a.page.Changed()
}

func (a *App) serveHTTP(ctx context.Context) error {
	a.metrics.watch(a)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /sd", a.serveTargets)
	mux.HandleFunc("GET /logs/{server}/{unit}/{actor}", a.serveLog)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	a.page.Routes(mux)
	a.web.become(mux)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.followEvents(ctx)
	}()
	defer func() { <-followed }()
	return a.web.run(ctx)
}

// waiting is what the program waits for before it is complete.
func (a *App) waiting() string {
	if a.cfg.NATSURL == "" {
		return "nats: the embedded server is starting"
	}
	return fmt.Sprintf("nats: no answer from %s; start it, or correct --nats-url", kv.Redact(a.cfg.NATSURL))
}

// readyz answers 200 when specs would be carried out, else 503 with one line for
// each thing that is missing.
func (a *App) readyz(w http.ResponseWriter, _ *http.Request) {
	missing := a.missing()
	if len(missing) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(missing, "\n"))
}

func (a *App) missing() []string {
	var out []string
	s := a.snapshot.Load()
	if s == nil || !s.input.Desired.Synced {
		out = append(out, "specs: not loaded from NATS yet")
	}
	if h := a.views.Health(); !h.Connected {
		out = append(out, fmt.Sprintf("nats: not connected to %s; start it", kv.Redact(a.natsURL())))
	}
	lease, known := a.elector.Leader()
	switch {
	case !known:
		out = append(out, "leader: none yet")
	case lease.Holder != a.cfg.ID:
		return out // a standby needs nothing else
	}
	if s != nil && !s.input.Observed.Synced {
		line := "agent: not connected yet"
		if sup := a.supervisor.Load(); sup != nil {
			if st := sup.State(); st.Message != "" {
				line = "agent: " + st.Message
			}
		}
		out = append(out, line)
	}
	return out
}
