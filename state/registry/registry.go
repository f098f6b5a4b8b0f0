package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"dynctl/state"
)

// Errors of Revoke.
var (
	// ErrUnknownServer: the server is not among those given to Set, or its etcd has
	// no address yet.
	ErrUnknownServer = errors.New("no etcd is known for the server")
	// ErrUnreachable: etcd did not answer.
	ErrUnreachable = errors.New("etcd does not answer")
	// ErrNoLogin: an etcd asks who we are, and Config has no Login.
	ErrNoLogin = errors.New("nobody tells the user and the password of this etcd")
)

// Config is what a Registry needs. The zero value is usable.
type Config struct {
	// Log receives one line for each loss and each recovery; nil: none.
	Log *slog.Logger
	// UnknownAfter is how long after its last answer an etcd counts as unreachable;
	// default 2 s. Probes are sent every quarter of it.
	UnknownAfter time.Duration
	// OnResync is called when registrations have to be listed again, with one of the
	// Resync constants; nil: nobody is told. It must not block.
	OnResync func(cause string)
	// Login is asked when the etcd of a server wants to know who we are, and at every
	// connection over TLS; nil: we have nothing to say. It is called from several goroutines,
	// at most once a request or connection.
	Login func(ctx context.Context, server string) (Login, error)
}

// Registry watches the etcd of every server. It is safe for concurrent use.
type Registry struct {
	cfg  Config
	dial dialer
	kick chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	watchers map[string]*watcher
	// histories outlive a change of the endpoint.
	histories map[string]*history
}

// New makes a Registry that watches nothing yet. Close ends it.
func New(cfg Config) *Registry {
	return newRegistry(cfg, func(server, endpoint string) (store, error) {
		return dialEtcd(endpoint, func(ctx context.Context) (Login, error) {
			if cfg.Login == nil {
				return Login{}, ErrNoLogin
			}
			return cfg.Login(ctx, server)
		})
	})
}

func newRegistry(cfg Config, dial dialer) *Registry {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.UnknownAfter <= 0 {
		cfg.UnknownAfter = 2 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Registry{
		cfg:      cfg,
		dial:     dial,
		kick:     make(chan struct{}, 1),
		ctx:      ctx,
		cancel:   cancel,
		watchers: map[string]*watcher{},

		histories: map[string]*history{},
	}
}

// Set says which etcd each server has, as a URL or several with commas between.
// A server that is left out is forgotten, one whose endpoint changed is unknown
// until it has been listed again, one with an empty endpoint (its etcd does not
// run yet) is unknown. Calling it again with the same map changes nothing.
func (r *Registry) Set(endpoints map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	changed := false
	for server, w := range r.watchers {
		if endpoint, ok := endpoints[server]; !ok || endpoint != w.endpoint {
			w.cancel()
			delete(r.watchers, server)
			changed = true
			if !ok {
				delete(r.histories, server)
			}
		}
	}
	for server, endpoint := range endpoints {
		if _, ok := r.watchers[server]; ok {
			continue
		}
		if r.histories[server] == nil {
			r.histories[server] = &history{}
		}
		w := newWatcher(r, server, endpoint)
		w.history = r.histories[server]
		r.watchers[server] = w
		changed = true
		if endpoint != "" {
			r.wg.Go(w.run)
		}
	}
	if changed {
		r.wake()
	}
}

// Snapshot is the latest view of every server given to Set. The caller may keep
// it and must not change what it points to.
func (r *Registry) Snapshot() map[string]state.Registrations {
	r.mu.Lock()
	watchers := maps.Clone(r.watchers)
	r.mu.Unlock()
	views := make(map[string]state.Registrations, len(watchers))
	for server, w := range watchers {
		views[server] = w.view()
	}
	return views
}

// Kick holds a token whenever a view has changed since the last token was taken.
func (r *Registry) Kick() <-chan struct{} { return r.kick }

// Revoke revokes a lease in a server's etcd. A lease that does not exist is a
// success. It takes UnknownAfter at most. Errors: ErrUnknownServer,
// ErrUnreachable, or the context's.
func (r *Registry) Revoke(ctx context.Context, server string, lease int64) error {
	return r.inEtcd(ctx, server, fmt.Sprintf("revoke lease %x", lease), func(ctx context.Context, s store) error {
		return s.Revoke(ctx, lease)
	})
}

// Close ends all watches and waits for them.
func (r *Registry) Close() {
	r.mu.Lock()
	r.cancel()
	r.watchers = map[string]*watcher{}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *Registry) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}
