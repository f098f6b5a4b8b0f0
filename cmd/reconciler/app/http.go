package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dynctl/actors"
	"dynctl/cmd/reconciler/app/door"
	"dynctl/state/kv"
)

// snapshot is the last round, for those who ask over HTTP.
type snapshot struct {
	input  actors.Input
	result actors.Result
}

// show makes a round visible.
func (a *App) show(in actors.Input, r actors.Result) {
	a.look(in, r)
	a.metrics.round(in, r)
	a.page.Changed()
}

// look makes a moment the one that is shown.
func (a *App) look(in actors.Input, r actors.Result) {
	was := a.snapshot.Swap(&snapshot{in, r})
	// The heartbeat that a process finds at its start may be of an agent that is long gone.
	if was != nil && isHeard(in) && was.input.Observed.Agent != nil && was.input.Observed.Agent.Revision != in.Observed.Agent.Revision {
		a.heardAt.Store(&in.Now)
	}
}

func (a *App) serveHTTP(ctx context.Context) error {
	a.metrics.watch(a)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz(func() bool { return worst(a.checks()) != checkFailed }))
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /sd", a.serveTargets)
	mux.Handle("GET /logs/{server}/{unit}/{actor}", door.Logs(http.HandlerFunc(a.serveLog)))
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	a.page.Routes(mux)
	a.web.become(mux)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.followEvents(ctx)
	}()
	go a.doors.tokens.Follow(ctx, a.log)
	go a.doors.cert.Follow(ctx, a.log)
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
