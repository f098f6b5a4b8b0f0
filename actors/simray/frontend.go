package simray

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// frontend answers what a Dynamo frontend says of its models. It serves none.
type frontend struct {
	directory *directory
	prefix    string // of the namespaces that it discovers
	server    *http.Server
}

// serveFrontend listens where the actor is a frontend.
func (c *Cluster) serveFrontend(a *actor) error {
	if _, ok := a.said.Ports[actors.PortHTTP]; !ok {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(c.cfg.Host, "0"))
	if err != nil {
		return err
	}
	f := &frontend{directory: c.directory, prefix: flag(a.template.Argv, "--namespace-prefix")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "healthy"})
	})
	mux.HandleFunc("GET /v1/models", f.models)
	mux.HandleFunc("GET /v1/models/{id}/ready", f.ready)
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	a.frontend = f
	a.said.IP, a.said.Ports[actors.PortHTTP] = c.cfg.Host, l.Addr().(*net.TCPAddr).Port
	context.AfterFunc(c.ctx, f.close)
	c.wg.Go(func() { _ = f.server.Serve(l) }) // until it is closed
	return nil
}

func (f *frontend) close() { _ = f.server.Close() }

func (f *frontend) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	data := []model{}
	for _, id := range f.directory.models(f.prefix) {
		data = append(data, model{id, "model"})
	}
	answer(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

type readyType struct {
	Workers int `json:"workers"`
}

type readyNamespace struct {
	Ready       bool                 `json:"ready"`
	WorkerTypes map[string]readyType `json:"worker_types"`
	Missing     []string             `json:"missing_worker_types"`
}

// ready answers 200 or 503, and 404 where no worker of the model is known.
func (f *frontend) ready(w http.ResponseWriter, r *http.Request) {
	found := f.directory.namespaces(r.PathValue("id"), f.prefix)
	if len(found) == 0 {
		answer(w, http.StatusNotFound, map[string]any{"message": "Model not found", "type": "Not Found", "code": http.StatusNotFound})
		return
	}
	namespaces, ready, status := map[string]readyNamespace{}, false, http.StatusServiceUnavailable
	for namespace, workers := range found {
		n := readyNamespace{WorkerTypes: map[string]readyType{}, Missing: missing(workers)}
		n.Ready = len(n.Missing) == 0
		for typ, count := range workers {
			n.WorkerTypes[typ] = readyType{count}
		}
		namespaces[namespace] = n
		ready = ready || n.Ready
	}
	if ready {
		status = http.StatusOK
	}
	answer(w, status, map[string]any{"model": r.PathValue("id"), "ready": ready, "namespaces": namespaces})
}

// missing are the worker types without which those that are there cannot serve.
func missing(workers map[string]int) []string {
	out := []string{}
	if workers[state.RoleDecode] > 0 && workers[state.RolePrefill] == 0 {
		out = append(out, state.RolePrefill)
	}
	if workers[state.RolePrefill] > 0 && workers[state.RoleDecode] == 0 {
		out = append(out, state.RoleDecode)
	}
	return out
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The reader is gone where this fails.
	_ = json.NewEncoder(w).Encode(body)
}
