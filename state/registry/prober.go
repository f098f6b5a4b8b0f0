package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	target  FrontendTarget
	paces   paces
	settled bool
	current state.FrontendView

	// The goroutine's own.

	listed []string // the last list, sorted
	asked  []string // the models of the last probe
	turn   int      // which of them is asked for next though it rests
	body   bytes.Buffer
}

func newProber(f *Frontends, base string) *prober {
	p := &prober{frontends: f, url: strings.TrimSuffix(base, "/"), wakeup: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(f.ctx)
	p.current.Err = "the frontend has no address yet: its unit does not run"
	if base != "" {
		p.current.Err, p.current.Pending = fmt.Sprintf("the frontend at %s has not answered yet", base), true
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

func (p *prober) setModels(target FrontendTarget) {
	p.mu.Lock()
	was := p.target
	same := slices.Equal(was.Models, target.Models)
	if p.paces.places == nil || !same || !slices.Equal(was.Moving, target.Moving) || !slices.Equal(was.Awake, target.Awake) {
		p.target, p.paces = target, pacesOf(target, was, p.paces, time.Now(), p.frontends.cfg.Watched)
	}
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

// publish shows a view in the place of the last one. changed are the models of which it
// says something else: what has just moved does not rest.
func (p *prober) publish(next state.FrontendView, changed []string) {
	p.mu.Lock()
	news := p.ctx.Err() == nil && (len(changed) > 0 || next.Known != p.current.Known || next.Err != p.current.Err)
	if stirred := stirred(changed, p.current, next); len(stirred) > 0 {
		p.paces.answered(stirred, time.Now())
	}
	if news {
		p.current = next
	}
	p.mu.Unlock()
	if news {
		p.frontends.wake()
	}
}

// stirred are those of which something else is said, beside what was never asked for before
// and has nothing to say.
func stirred(changed []string, was, now state.FrontendView) (names []string) {
	for _, name := range changed {
		x := now.Models[name]
		if _, known := was.Models[name]; known || x.Listed || len(x.Namespaces) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// probe asks for the list and for each model that is due, one after the other: half a
// millisecond each, and never a burst on the process that serves traffic. The other models
// keep their last answer. changed are those of which something else is said than before.
func (p *prober) probe(all bool) (view state.FrontendView, changed []string) {
	listed, err := p.list()
	if err != nil {
		return state.FrontendView{Err: err.Error()}, nil
	}
	a := p.asking(all, listed)
	for _, i := range a.places {
		name := a.target.Models[i]
		if !a.due(i, name) {
			continue
		}
		now, err := p.model(name)
		if err != nil {
			return state.FrontendView{Err: err.Error()}, nil
		}
		now.Listed = a.lists(name)
		a.answered(name, now)
	}
	a.others()
	p.listed, p.asked = listed, a.target.Models
	return state.FrontendView{Known: true, Models: a.models}, a.changed
}

// list is what the frontend lists, sorted.
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
	names := make([]string, 0, len(answer.Data))
	for _, m := range answer.Data {
		names = append(names, m.ID)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// get decodes a JSON answer with status 200, 404 or 503 and returns the status. A question whose
// time was over long ago when that was noticed is asked again: this process was stopped, and says
// nothing of the frontend by that.
func (p *prober) get(path string, into any) (int, error) {
	asked := time.Now()
	status, err := p.getOnce(path, into)
	if err != nil && time.Since(asked) > 2*p.frontends.cfg.Timeout {
		return p.getOnce(path, into)
	}
	return status, err
}

func (p *prober) getOnce(path string, into any) (int, error) {
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
	p.body.Reset()
	if _, err := p.body.ReadFrom(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return 0, fmt.Errorf("the frontend breaks off its answer to %s: %w", path, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
		if err := json.Unmarshal(p.body.Bytes(), into); err != nil {
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
