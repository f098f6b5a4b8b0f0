package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"dynctl/cmd/reconciler/app/door"
)

// web answers from the moment that the HTTP address is taken: before the program
// is complete, it says what is waited for. Whoever asks would hang otherwise.
type web struct {
	server  *http.Server
	handler atomic.Pointer[http.Handler]
	ended   chan error
}

// doors are what stands before the answers.
type doors struct {
	hosts  door.Hosts
	tokens *door.Tokens
	cert   *door.Certificate
}

// openDoors reads what the flags name of them.
func openDoors(cfg Config) (d doors, err error) {
	if d.hosts, err = door.ParseHosts(cfg.HTTP, cfg.HTTPAllowedHosts); err != nil {
		return d, fmt.Errorf("--http-allowed-hosts: %w", err)
	}
	if d.tokens, err = door.OpenTokens(cfg.HTTPTokenFile); err != nil {
		return d, fmt.Errorf("--http-token-file: %w", err)
	}
	d.cert, err = door.OpenCertificate(cfg.TLSCert, cfg.TLSKey)
	return d, err
}

// scheme is how the port is spoken to.
func (d doors) scheme() string {
	if d.cert != nil {
		return "https"
	}
	return "http"
}

// serve begins to serve whoever comes through the doors; the base context of requests
// is ctx.
func serve(ctx context.Context, l net.Listener, d doors, waiting func() string) *web {
	w := &web{ended: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz(func() bool { return false }))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, waiting())
	})
	w.become(mux)
	w.server = door.Server(ctx, d.hosts, d.tokens, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.handler.Load()).ServeHTTP(rw, r) }))
	go func() {
		err := w.server.Serve(door.Listener(l, d.cert))
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		w.ended <- err
	}()
	return w
}

// healthz says that this program runs; with ?ready whether specs are carried out, and
// nothing of why not: it is for probes that have no token.
func healthz(ready func() bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("ready") && !ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// become replaces what answers.
func (w *web) become(h http.Handler) { w.handler.Store(&h) }

// run serves until ctx ends or serving fails.
func (w *web) run(ctx context.Context) error {
	select {
	case err := <-w.ended:
		w.ended <- err
		return err
	case <-ctx.Done():
		return w.close()
	}
}

// close ends serving; requests under way get a second.
func (w *web) close() error {
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.server.Shutdown(closing) != nil {
		_ = w.server.Close() // what is left are connections that are cut off
	}
	err := <-w.ended
	w.ended <- err
	return err
}
