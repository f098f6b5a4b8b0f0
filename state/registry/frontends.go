package registry

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"sync"
	"time"

	"dynctl/state"
)

// FrontendTarget is one frontend to be asked.
type FrontendTarget struct {
	// URL is the base, "http://10.0.0.1:8000"; empty: it does not run yet. The certificate
	// of one with https is not checked.
	URL string
	// Models are the served names to be asked for.
	Models []string
	// Moving are those of them whose answer is expected to change: while there are
	// any, an unsettled server is asked for them alone every Unsettled, and for all
	// every Settled. Empty: always for all.
	Moving []string
	// Awake are those of which something has changed of late, as far as anybody knows. The
	// others rest: once one has not been among them for Watched it is asked for every Resting
	// alone, or as soon as the list, which has every model in one answer, says otherwise of it.
	Awake []string
}

// FrontendsConfig is what Frontends needs. The zero value is usable.
type FrontendsConfig struct {
	// Settled and Unsettled are the pauses between two probes; defaults 2 s and 100 ms.
	Settled, Unsettled time.Duration
	// Watched is how long a model is asked for every Settled after it has come to rest, and
	// Resting the longest that it is not asked for after that; defaults 10 s and 1 min.
	Watched, Resting time.Duration
	// Timeout bounds one request; default 2 s.
	Timeout time.Duration
}

// Frontends asks the frontend of every server what it lists and what is ready.
// It is safe for concurrent use.
type Frontends struct {
	cfg    FrontendsConfig
	client *http.Client
	kick   chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	probers map[string]*prober
}

// NewFrontends makes Frontends that ask nobody yet. Close ends them.
func NewFrontends(cfg FrontendsConfig) *Frontends {
	// A certificate is for the name by which clients come, and we come by the node's address;
	// nothing secret is said, and who answers in its place can do no more than over http.
	//nolint:gosec // as above
	unchecked := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	return newFrontends(cfg, &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, TLSClientConfig: unchecked})
}

func newFrontends(cfg FrontendsConfig, transport http.RoundTripper) *Frontends {
	if cfg.Settled <= 0 {
		cfg.Settled = 2 * time.Second
	}
	if cfg.Unsettled <= 0 {
		cfg.Unsettled = 100 * time.Millisecond
	}
	if cfg.Watched <= 0 {
		cfg.Watched = 10 * time.Second
	}
	if cfg.Resting <= 0 {
		cfg.Resting = time.Minute
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 2 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Frontends{
		cfg:     cfg,
		client:  &http.Client{Transport: transport},
		kick:    make(chan struct{}, 1),
		ctx:     ctx,
		cancel:  cancel,
		probers: map[string]*prober{},
	}
}

// Set says which frontends there are and which models to ask them for. A server
// that is left out is forgotten; one whose URL changed is unknown until it has
// answered; other models are asked for at once. Calling it again with the same
// map changes nothing.
func (f *Frontends) Set(targets map[string]FrontendTarget) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	changed := false
	for server, p := range f.probers {
		if target, ok := targets[server]; !ok || target.URL != p.url {
			p.cancel()
			delete(f.probers, server)
			changed = true
		}
	}
	for server, target := range targets {
		p, ok := f.probers[server]
		if !ok {
			p = newProber(f, target.URL)
			f.probers[server] = p
			changed = true
			p.setModels(target)
			if target.URL != "" {
				f.wg.Go(p.run)
			}
			continue
		}
		p.setModels(target)
	}
	if changed {
		f.wake()
	}
}

// Settle reports whether nothing is expected to change on a server: then it is
// asked every Settled, else every Unsettled. A server is unsettled at first.
func (f *Frontends) Settle(server string, settled bool) {
	if p := f.prober(server); p != nil {
		p.settle(settled)
	}
}

// Poke has a server asked at once for its list and for all models that do not rest.
func (f *Frontends) Poke(server string) {
	if p := f.prober(server); p != nil {
		p.poke()
	}
}

// Snapshot is the latest view of every server given to Set. The caller may keep
// it and must not change what it points to.
func (f *Frontends) Snapshot() map[string]state.FrontendView {
	f.mu.Lock()
	probers := maps.Clone(f.probers)
	f.mu.Unlock()
	views := make(map[string]state.FrontendView, len(probers))
	for server, p := range probers {
		views[server] = p.snapshot()
	}
	return views
}

// Kick holds a token whenever a view has changed since the last token was taken.
func (f *Frontends) Kick() <-chan struct{} { return f.kick }

// Close ends all probes and waits for them.
func (f *Frontends) Close() {
	f.mu.Lock()
	f.cancel()
	f.probers = map[string]*prober{}
	f.mu.Unlock()
	f.wg.Wait()
	f.client.CloseIdleConnections()
}

func (f *Frontends) prober(server string) *prober {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.probers[server]
}

func (f *Frontends) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}
