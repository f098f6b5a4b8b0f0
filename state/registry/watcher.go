package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"dynctl/state"
)

// Why a session with an etcd ends; the next one lists again.
var (
	errConnectionLost = errors.New("the connection was lost")
	errWatchClosed    = errors.New("the watch was closed")
	errWatchFailed    = errors.New("the watch failed")
	errOtherCluster   = errors.New("another etcd cluster answers at this address")
	errWentBack       = errors.New("etcd came back without some of its data")
)

// Why registrations were listed again.
const (
	ResyncLost      = "lost"      // the connection was lost, or etcd does not answer
	ResyncClosed    = "closed"    // the watch ended
	ResyncRecreated = "recreated" // another cluster answers
	ResyncWentBack  = "went-back" // etcd came back without some of its data
)

func causeOf(err error) string {
	switch {
	case errors.Is(err, errOtherCluster):
		return ResyncRecreated
	case errors.Is(err, errWentBack):
		return ResyncWentBack
	case errors.Is(err, errWatchClosed), errors.Is(err, errWatchFailed):
		return ResyncClosed
	}
	return ResyncLost
}

// watcher keeps the view of one server's etcd.
type watcher struct {
	registry *Registry
	server   string
	endpoint string
	store    store
	ctx      context.Context
	cancel   context.CancelFunc
	history  *history
	// away: etcd may have been out of reach since the last listing. Of run alone.
	away bool

	mu      sync.Mutex
	current state.Registrations
	lastErr error
	// expiry fires when etcd has not answered for UnknownAfter, which is due then.
	expiry *time.Timer
	due    time.Time
}

func newWatcher(r *Registry, server, endpoint string) *watcher {
	w := &watcher{registry: r, server: server, endpoint: endpoint, away: true}
	w.ctx, w.cancel = context.WithCancel(r.ctx)
	if endpoint == "" {
		w.current.Err = "etcd has no address yet: its unit does not run"
		return w
	}
	w.current.Err, w.current.Pending = fmt.Sprintf("etcd %s has not answered yet", state.RedactURL(endpoint)), true
	w.store, w.lastErr = r.dial(server, endpoint)
	if w.lastErr != nil {
		w.current.Pending = false
		w.current.Err = state.HideSecrets(fmt.Sprintf("etcd %q is not a usable address (%v): correct spec.etcd.endpoint of server %q", state.RedactURL(endpoint), w.lastErr, server))
	}
	return w
}

// run keeps the view until the watcher is cancelled. Each session lists again, so
// nothing that happened in a gap is missed.
func (w *watcher) run() {
	if w.store == nil {
		return
	}
	defer func() { _ = w.store.Close() }() // nothing is left to be saved
	defer w.stopExpiry()
	w.startExpiry()
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond),
		backoff.WithMaxInterval(time.Second),
		backoff.WithMaxElapsedTime(0),
	)
	for w.ctx.Err() == nil {
		listed, err := w.session()
		if w.ctx.Err() != nil {
			return
		}
		if listed {
			pause.Reset()
			if w.registry.cfg.OnResync != nil {
				w.registry.cfg.OnResync(causeOf(err))
			}
		}
		w.note(err)
		w.registry.cfg.Log.Debug("registrations are listed again", "server", w.server, "etcd", w.endpoint, "because", err)
		select {
		case <-w.ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// probe is an answer to a probe, with the revision known when it was asked.
type probe struct {
	header
	err  error
	seen int64
}

// session lists, then follows what changes until anything is doubtful. It says
// whether the listing succeeded.
func (w *watcher) session() (listed bool, err error) {
	ctx, cancel := context.WithCancel(w.ctx)
	var probing sync.WaitGroup
	defer probing.Wait()
	defer cancel()

	select { // an older loss is what this listing makes good
	case <-w.store.Lost():
	default:
	}
	listCtx, done := context.WithTimeout(ctx, w.registry.cfg.UnknownAfter/2)
	l, err := w.store.List(listCtx)
	done()
	if err != nil {
		w.away = true
		return false, fmt.Errorf("list: %w", err)
	}
	have := newContents(l)
	w.publish(have)

	changes := w.store.Watch(ctx, l.Revision+1)
	answers := make(chan probe, 1)
	interval := w.registry.cfg.UnknownAfter / 4
	due := time.NewTimer(interval)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-w.store.Lost():
			w.away = true
			return true, errConnectionLost
		case b, open := <-changes:
			if err := have.advance(b, open); err != nil {
				return true, err
			}
			w.publish(have)
		case <-due.C:
			seen := have.Revision
			probing.Go(func() { answers <- w.probe(ctx, seen) })
		case p := <-answers:
			if err := have.check(p); err != nil {
				return true, err
			}
			w.hold(have)
			due.Reset(interval)
		}
	}
}

func (w *watcher) probe(ctx context.Context, seen int64) probe {
	ctx, cancel := context.WithTimeout(ctx, w.registry.cfg.UnknownAfter/2)
	defer cancel()
	h, err := w.store.Probe(ctx)
	return probe{header: h, err: err, seen: seen}
}

// advance applies a batch of the watch.
func (c *contents) advance(b batch, open bool) error {
	switch {
	case !open:
		return errWatchClosed
	case b.Err != nil:
		return fmt.Errorf("%w: %w", errWatchFailed, b.Err)
	case b.ClusterID != c.ClusterID:
		return errOtherCluster
	case b.Revision < c.Revision:
		return errWentBack
	}
	c.Revision = b.Revision
	for _, ch := range b.Changes {
		c.apply(ch)
	}
	return nil
}

// check compares an answer with what was known when it was asked for: the watch
// may have gone on in the meantime.
func (c *contents) check(p probe) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("probe: %w", p.err)
	case p.ClusterID != c.ClusterID:
		return errOtherCluster
	case p.Revision < p.seen:
		return errWentBack
	}
	return nil
}

func (w *watcher) view() state.Registrations {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// publish makes the contents the view and counts as an answer of etcd.
func (w *watcher) publish(c *contents) {
	next := c.registrations()
	if w.ctx.Err() == nil { // else the server's etcd is another one already
		w.history.note(c, &next, w.away)
		w.away = false
	}
	w.mu.Lock()
	before := w.current
	w.current = next
	w.mu.Unlock()
	w.confirm()
	if !before.Known {
		w.registry.cfg.Log.Info("registrations are known", "server", w.server, "etcd", w.endpoint, "instances", len(next.Instances))
	}
	if !before.Known || before.ClusterID != next.ClusterID || !slices.Equal(before.Instances, next.Instances) || !slices.Equal(before.Gates, next.Gates) {
		w.registry.wake()
	}
}

// hold keeps the view of contents that etcd has confirmed, or makes it anew: one that expired
// while this process was stopped, or the answer was late, is as true as ever, and in a quiet
// etcd no change would bring it back.
func (w *watcher) hold(c *contents) {
	if w.view().Known {
		w.confirm()
		return
	}
	w.publish(c)
}

// confirm postpones the moment at which the view counts as unknown.
func (w *watcher) confirm() {
	w.mu.Lock()
	w.lastErr = nil
	w.mu.Unlock()
	w.postpone()
}

func (w *watcher) postpone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expiry != nil {
		w.due = time.Now().Add(w.registry.cfg.UnknownAfter)
		w.expiry.Reset(w.registry.cfg.UnknownAfter)
	}
}

func (w *watcher) deadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.due
}

func (w *watcher) startExpiry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = time.Now().Add(w.registry.cfg.UnknownAfter)
	w.expiry = time.AfterFunc(w.registry.cfg.UnknownAfter, w.expire)
}

func (w *watcher) stopExpiry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expiry.Stop()
	w.expiry = nil
}

// expire drops the view: what is not confirmed is not known. Where that comes late this process
// was stopped, and what etcd has answered meanwhile is still to be read.
func (w *watcher) expire() {
	if time.Since(w.deadline()) > w.registry.cfg.UnknownAfter/4 {
		w.postpone()
		return
	}
	w.mu.Lock()
	before := w.current
	w.current = state.Registrations{
		Err: unreachable(w.endpoint, w.lastErr), ClusterID: before.ClusterID, Revision: before.Revision,
	}
	err := w.current.Err
	w.mu.Unlock()
	if before.Known {
		w.registry.cfg.Log.Warn("registrations are unknown", "server", w.server, "because", err)
	}
	if before.Known || before.Err != err {
		w.registry.wake()
	}
}

// note keeps why the last session ended, and says so at once where the view is
// unknown already.
func (w *watcher) note(err error) {
	w.mu.Lock()
	w.lastErr = err
	if !w.current.Known {
		w.current.Err, w.current.Pending = unreachable(w.endpoint, err), false
	}
	w.mu.Unlock()
}

func unreachable(endpoint string, err error) string {
	if err == nil {
		err = context.DeadlineExceeded
	}
	if errors.Is(err, errNotLetIn) {
		const text = "etcd %s does not let the reconciler in (%v): " +
			"see that the agent runs; for an etcd of your own set ETCD_AUTH_USERNAME and ETCD_AUTH_PASSWORD in spec.env of the Server"
		return state.HideSecrets(fmt.Sprintf(text, state.RedactURL(endpoint), err))
	}
	return state.HideSecrets(fmt.Sprintf("etcd %s does not answer (%v): see that it runs and can be reached from here", state.RedactURL(endpoint), err))
}
