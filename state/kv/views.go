package kv

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// SpecSnapshot is the spec bucket at one moment.
type SpecSnapshot struct {
	// Synced is true once the bucket is fully loaded; false again while a recreated
	// one is.
	Synced bool
	// Entries are sorted by key (servers, then models, then what is neither), with
	// the delete markers. An entry that the bucket has lost without a delete marker
	// (it was purged or made again) stays as it was: a missing key is not a delete.
	Entries []SpecEntry
	// Confirmed holds, by server, the revision up to which deletions are confirmed.
	Confirmed map[string]uint64
	// Created is when the bucket was made; revisions of another are not comparable.
	Created time.Time
}

// Health says how fresh the views are.
type Health struct {
	// Connected: all buckets are being followed.
	Connected bool
	// Age is the time since the least fresh view was last found complete; 0 when
	// one never was.
	Age time.Duration
	// Err is what is wrong: why a bucket is not followed, or which entries cannot
	// be read; nil when nothing is.
	Err error
}

// Views are in-memory snapshots of the buckets, for the reconciler. They follow
// the store through outages; while one lasts they keep what they last knew.
// Buckets that are deleted are made again, with the same store id. The methods may be
// called from any goroutine and never do IO; what they return is shared and must
// not be changed.
type Views struct {
	js     jetstream.JetStream
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ensure sync.Mutex

	specs    *mirror[struct{}]
	statuses *mirror[state.Status]
	observed *mirror[observation]
	charge   *charge

	mu            sync.Mutex
	specCache     cached[SpecSnapshot]
	statusCache   cached[statusView]
	observedCache cached[observedView]
	storeID       string
}

type cached[V any] struct {
	version uint64
	view    V
}

type statusView struct {
	statuses map[string]state.Status
	synced   bool
	err      error
}

type observedView struct {
	observed state.Observed
	err      error
}

// WatchOption changes what Watch does besides.
type WatchOption func(*watchOptions)

type watchOptions struct{ resync func(cause string) }

// OnResync has f called whenever a view has to be loaded anew, with one of the
// Resync constants. It is called from several goroutines and must not block.
func OnResync(f func(cause string)) WatchOption {
	return func(o *watchOptions) { o.resync = f }
}

// Watch makes the buckets where they are absent and begins to follow them. It
// returns at once when NATS answers; the views say themselves when they are
// loaded. kick is called after every change, from several goroutines; it must not
// block. The watch ends with ctx or Close.
func Watch(ctx context.Context, js jetstream.JetStream, kick func(), options ...WatchOption) (*Views, error) {
	var o watchOptions
	for _, option := range options {
		option(&o)
	}
	id, err := EnsureBuckets(ctx, js)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	v := &Views{js: js, cancel: cancel, storeID: id, charge: &charge{}}
	v.specs = newMirror(js, mirrorConfig[struct{}]{bucket: BucketSpecs, keepMissing: true, kick: kick, absent: v.makeAgain, resync: o.resync})
	v.statuses = newMirror(js, mirrorConfig[state.Status]{
		bucket: BucketStatus, keepMissing: true, kick: kick, absent: v.makeAgain, parse: parseStatusOrID, resync: o.resync,
	})
	v.observed = newMirror(js, mirrorConfig[observation]{
		bucket: BucketObserved, kick: kick, absent: v.makeAgain, parse: parseObservation, follow: v.charge, resync: o.resync,
	})
	v.wg.Go(func() { v.specs.run(ctx) })
	v.wg.Go(func() { v.statuses.run(ctx) })
	v.wg.Go(func() { v.observed.run(ctx) })
	return v, nil
}

// Close ends the watch and waits for it. The views stay as they are.
func (v *Views) Close() {
	v.cancel()
	v.wg.Wait()
}

// StoreID is the id of the store.
func (v *Views) StoreID() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.storeID
}

// makeAgain makes deleted buckets again, as the same store.
func (v *Views) makeAgain(ctx context.Context) error {
	v.ensure.Lock()
	defer v.ensure.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*verifyTimeout)
	defer cancel()
	v.specs.mu.Lock()
	k := known{id: v.StoreID(), revision: v.specs.seen}
	for _, it := range v.specs.items {
		k.revision = max(k.revision, it.rev)
	}
	v.specs.mu.Unlock()
	id, err := ensureBuckets(ctx, v.js, k)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.storeID = id
	v.mu.Unlock()
	return nil
}

// Specs is the spec bucket.
func (v *Views) Specs() SpecSnapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := &v.specCache; c.version == 0 || c.version != v.specs.currentVersion() {
		var items map[string]item[struct{}]
		items, c.view.Synced, c.version = v.specs.snapshot()
		v.specs.mu.Lock()
		c.view.Created = v.specs.created
		v.specs.mu.Unlock()
		c.view.Entries, c.view.Confirmed = specView(items, c.view.Created)
		if it, ok := items[keyStoreID]; ok && !it.deleted && !it.missing {
			v.storeID = string(it.value)
		}
	}
	return v.specCache.view
}

func specView(items map[string]item[struct{}], created time.Time) ([]SpecEntry, map[string]uint64) {
	var entries []SpecEntry
	confirmed := map[string]uint64{}
	for key, it := range items {
		if server, ok := strings.CutPrefix(key, confirmPrefix); ok {
			var c confirmation
			if !it.deleted && json.Unmarshal(it.value, &c) == nil && c.Bucket.Equal(created) {
				confirmed[server] = c.Revision
			}
		}
		if !internalKey(key) {
			entries = append(entries, specEntry(it.entry))
		}
	}
	sortSpecs(entries)
	return entries, confirmed
}

// Statuses are the statuses by key. Synced is as in SpecSnapshot. A status that
// the bucket has lost without a delete marker stays, with Revision 0, so that
// writing it makes it again. A status that cannot be read is left out and named
// in [Views.Health]; synced is then false.
func (v *Views) Statuses() (statuses map[string]state.Status, synced bool) {
	view := v.statusView()
	return view.statuses, view.synced
}

func (v *Views) statusView() statusView {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := &v.statusCache; c.version == 0 || c.version != v.statuses.currentVersion() {
		var items map[string]item[state.Status]
		c.view = statusView{statuses: map[string]state.Status{}}
		items, c.view.synced, c.version = v.statuses.snapshot()
		for key, it := range items {
			switch {
			case key == keyStoreID || it.deleted:
			case it.err != nil:
				c.view.err = errors.Join(c.view.err, it.err)
				c.view.synced = false
			default:
				s := it.val
				if it.missing {
					s.Revision = 0
				}
				c.view.statuses[key] = s
			}
		}
	}
	return v.statusCache.view
}

func parseStatusOrID(e entry) (state.Status, error) {
	if e.key == keyStoreID {
		return state.Status{}, nil
	}
	return parseStatus(e)
}

// Observed is what the agent in charge reports, with its times on the clock of
// the store.
func (v *Views) Observed() state.Observed { return v.observedView().observed }

func (v *Views) observedView() observedView {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := &v.observedCache; c.version == 0 || c.version != v.observed.currentVersion() {
		items, synced, version := v.observed.snapshot()
		c.version = version
		c.view.observed, c.view.err = observe(items, synced && v.charge.believed())
	}
	return v.observedCache.view
}

// Health says how fresh the views are and what is wrong with them.
func (v *Views) Health() Health {
	h := Health{Connected: true}
	var oldest time.Time
	for _, health := range []func() (bool, time.Time, error){v.specs.health, v.statuses.health, v.observed.health} {
		connected, verified, err := health()
		h.Connected = h.Connected && connected
		h.Err = errors.Join(h.Err, err)
		if oldest.IsZero() || verified.Before(oldest) {
			oldest = verified
		}
		if verified.IsZero() {
			oldest = verified
			h.Connected = false
		}
	}
	if !oldest.IsZero() {
		h.Age = time.Since(oldest)
	}
	h.Err = errors.Join(h.Err, v.statusView().err, v.observedView().err)
	return h
}
