package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"dynctl/state"
)

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 4 << 20

// prober keeps the view of one frontend.
type prober struct {
	frontends *Frontends
	url       string
	wakeup    chan struct{}
	ctx       context.Context
	cancel    context.CancelFunc

	mu      sync.Mutex
	models  []string
	moving  map[string]bool
	settled bool
	current state.FrontendView
}

func newProber(f *Frontends, base string) *prober {
	p := &prober{frontends: f, url: strings.TrimSuffix(base, "/"), wakeup: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(f.ctx)
	p.current.Err = "the frontend has no address yet: its unit does not run"
	if base != "" {
		p.current.Err = fmt.Sprintf("the frontend at %s has not answered yet", base)
	}
	return p
}

func (p *prober) run() {
	due := time.NewTimer(0)
	defer due.Stop()
	var full time.Time // when all models were last asked for
	for {
		woken := false
		select {
		case <-p.ctx.Done():
			return
		case <-p.wakeup:
			woken = true
		case <-due.C:
		}
		all := woken || time.Since(full) >= p.frontends.cfg.Settled
		if all {
			full = time.Now()
		}
		p.publish(p.probe(all))
		due.Reset(p.pause())
	}
}

func (p *prober) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled {
		return p.frontends.cfg.Settled
	}
	return p.frontends.cfg.Unsettled
}

func (p *prober) poke() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

func (p *prober) settle(settled bool) {
	p.mu.Lock()
	sooner := p.settled && !settled
	p.settled = settled
	p.mu.Unlock()
	if sooner {
		p.poke()
	}
}

func (p *prober) setModels(models, moving []string) {
	models = slices.Sorted(slices.Values(models))
	moves := make(map[string]bool, len(moving))
	for _, name := range moving {
		moves[name] = true
	}
	p.mu.Lock()
	same := slices.Equal(p.models, models)
	p.models, p.moving = models, moves
	p.mu.Unlock()
	if !same {
		p.poke()
	}
}

func (p *prober) snapshot() state.FrontendView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

func (p *prober) publish(next state.FrontendView) {
	p.mu.Lock()
	changed := p.ctx.Err() == nil && !reflect.DeepEqual(p.current, next)
	if changed {
		p.current = next
	}
	p.mu.Unlock()
	if changed {
		p.frontends.wake()
	}
}

// probe asks for the list and for each model, one after the other: half a
// millisecond each, and never a burst on the process that serves traffic. Unless
// all are wanted, models that do not move keep their last answer.
func (p *prober) probe(all bool) state.FrontendView {
	p.mu.Lock()
	models, moving, before := p.models, p.moving, p.current
	p.mu.Unlock()
	all = all || len(moving) == 0 || !before.Known
	listed, err := p.list()
	if err != nil {
		return state.FrontendView{Err: err.Error()}
	}
	view := state.FrontendView{Known: true, Models: map[string]state.FrontendModel{}}
	for _, name := range listed {
		view.Models[name] = state.FrontendModel{Listed: true}
	}
	for _, name := range models {
		m := before.Models[name]
		if all || moving[name] || m.Namespaces == nil { // never asked for
			if m, err = p.model(name); err != nil {
				return state.FrontendView{Err: err.Error()}
			}
		}
		m.Listed = view.Models[name].Listed
		view.Models[name] = m
	}
	return view
}

func (p *prober) list() ([]string, error) {
	var answer struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	status, err := p.get("/v1/models", &answer)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the frontend at %s answers %d to /v1/models: see its log", p.url, status)
	}
	var names []string
	for _, m := range answer.Data {
		names = append(names, m.ID)
	}
	return names, nil
}

// get decodes a JSON answer with status 200, 404 or 503 and returns the status.
func (p *prober) get(path string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.frontends.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("the frontend's URL %q: %w", p.url, err)
	}
	resp, err := p.frontends.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("the frontend does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("the frontend breaks off its answer to %s: %w", path, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
		if err := json.Unmarshal(body, into); err != nil {
			return 0, fmt.Errorf("the answer of %s%s is not what Dynamo's frontend says: %w", p.url, path, err)
		}
	}
	return resp.StatusCode, nil
}

// readyAnswer is the body of /v1/models/{id}/ready.
type readyAnswer struct {
	Ready      bool                      `json:"ready"`
	Namespaces map[string]readyNamespace `json:"namespaces"`
}

type readyNamespace struct {
	Ready       bool `json:"ready"`
	WorkerTypes map[string]struct {
		Workers int `json:"workers"`
	} `json:"worker_types"`
	Missing []string `json:"missing_worker_types"`
}

// model asks whether a model is ready. The frontend says 503 with the same body
// while it is not, and 404 when it knows no worker of it.
func (p *prober) model(name string) (state.FrontendModel, error) {
	var answer readyAnswer
	path := "/v1/models/" + url.PathEscape(name) + "/ready"
	status, err := p.get(path, &answer)
	if err != nil {
		return state.FrontendModel{}, err
	}
	switch status {
	case http.StatusOK, http.StatusServiceUnavailable, http.StatusNotFound:
	default:
		return state.FrontendModel{}, fmt.Errorf("the frontend at %s answers %d to %s: see its log", p.url, status, path)
	}
	m := state.FrontendModel{Ready: status == http.StatusOK && answer.Ready, Namespaces: map[string]state.FrontendNamespace{}}
	for namespace, n := range answer.Namespaces {
		workers := make(map[string]int, len(n.WorkerTypes))
		for typ, t := range n.WorkerTypes {
			workers[typ] = t.Workers
		}
		m.Namespaces[namespace] = state.FrontendNamespace{Ready: n.Ready, Workers: workers, Missing: n.Missing}
	}
	return m, nil
}
