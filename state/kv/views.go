package kv

import (
	"context"
	"errors"
	"slices"
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
	// What has not changed lies where it lay in the snapshot before.
	Entries []*SpecEntry
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
	// Err says why a bucket is not followed; nil when all are.
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
	limits Limits

	specs    *mirror[struct{}]
	statuses *mirror[state.Status]
	observed *mirror[observation]
	charge   *charge
	wanted   wanted

	mu            sync.Mutex
	specCache     cached[SpecSnapshot]
	statusCache   cached[statusList]
	observedCache cached[state.Observed]
	storeID       string
}

type cached[V any] struct {
	version, news uint64
	view          V
}

type statusList struct {
	statuses []Stored
	synced   bool
}

// WatchOption changes what Watch does besides.
type WatchOption func(*watchOptions)

type watchOptions struct {
	resync func(cause string)
	limits Limits
}

// WithLimits has buckets that are made, or made again, bounded so.
func WithLimits(l Limits) WatchOption {
	return func(o *watchOptions) { o.limits = l }
}

// OnResync has f called whenever a view has to be reloaded, with one of the
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
	id, err := EnsureBuckets(ctx, js, o.limits)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	v := &Views{js: js, cancel: cancel, storeID: id, limits: o.limits, charge: &charge{}, wanted: wanted{wake: make(chan struct{}, 1)}}
	v.specs = newMirror(js, mirrorConfig[struct{}]{
		bucket: BucketSpecs, keepMissing: true, keep: keepSpecs, dated: true, kick: kick, absent: v.makeAgain, parse: parseInternal, resync: o.resync, rests: true, backedUp: true,
	})
	v.statuses = newMirror(js, mirrorConfig[state.Status]{
		bucket: BucketStatus, keepMissing: true, kick: kick, absent: v.makeAgain, parse: parseStatusEntry, resync: o.resync, rests: true, backedUp: true,
	})
	v.observed = newMirror(js, mirrorConfig[observation]{
		bucket: BucketObserved, dated: true, kick: kick, absent: v.makeAgain, parse: parseObservation, judge: judgeObservation, beat: isBeat, follow: v.charge, resync: o.resync,
		rests: true,
	})
	v.wg.Go(func() { v.specs.run(ctx) })
	v.wg.Go(func() { v.statuses.run(ctx) })
	v.wg.Go(func() { v.observed.run(ctx) })
	v.wg.Go(func() { v.tendStoreID(ctx) })
	v.wg.Go(func() { v.loadValues(ctx) })
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
	k := known{id: v.StoreID(), revision: v.specs.seen, limits: v.limits}
	for _, it := range v.specs.items {
		k.revision = max(k.revision, it.rev)
	}
	v.specs.mu.Unlock()
	id, err := ensureBuckets(ctx, v.js, k)
	if err != nil {
		return err
	}
	v.setStoreID(id)
	return nil
}

func (v *Views) setStoreID(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.storeID = id
}

const (
	// tendEvery is how often it is looked whether the store id stands where it should.
	tendEvery = time.Second
	// tendAfter is how long it may not: whoever restores a store writes one bucket
	// after the other.
	tendAfter = 5 * time.Second
)

// tendStoreID writes the id again where the buckets have lost it, or hold something
// else in its place: without it nobody takes them for a store. Where both say
// another one, the store is another one.
func (v *Views) tendStoreID(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		spec, copied, known := v.storeIDs()
		switch {
		case !known:
			since = time.Time{}
		case spec != "" && spec == copied:
			v.setStoreID(spec)
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= tendAfter:
			try, cancel := context.WithTimeout(ctx, verifyTimeout)
			if id, err := ensureStoreID(try, v.js, v.StoreID()); err == nil {
				v.setStoreID(id)
			}
			cancel()
			since = time.Time{}
		}
	}
}

// storeIDs are the id in the spec bucket and its copy in the status bucket, empty
// where there is none; known: both buckets are followed.
func (v *Views) storeIDs() (spec, copied string, known bool) {
	specs, specsKnown := storeIDIn(v.specs)
	statuses, statusesKnown := storeIDIn(v.statuses)
	return specs, statuses, specsKnown && statusesKnown
}

func storeIDIn[T any](m *mirror[T]) (id string, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if it, ok := m.items[keyStoreID]; ok && !it.deleted && !it.missing && it.err == nil {
		id = string(it.value)
	}
	return id, m.synced && m.connected
}

// Specs is the spec bucket.
func (v *Views) Specs() SpecSnapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := &v.specCache
	if c.version != 0 && c.version == v.specs.currentVersion() {
		return c.view
	}
	d := v.specs.delta()
	before := c.view
	c.version, c.view.Synced, c.view.Created = d.version, d.synced, d.created
	if !d.whole && patchSpecs(&c.view, d.items) {
		return c.view
	}
	if !d.whole {
		d.items, _, _ = v.specs.snapshot()
	}
	c.view.Entries, c.view.Confirmed = specView(d.items, d.created)
	if before.Created.Equal(d.created) {
		keepPlaces(c.view.Entries, before.Entries)
	}
	return c.view
}

// keepPlaces has what is the same as before lie where it lay; both lists are sorted.
func keepPlaces(entries, before []*SpecEntry) {
	for i, e := range entries {
		for len(before) > 0 && compareSpecs(before[0], e) < 0 {
			before = before[1:]
		}
		if len(before) > 0 && before[0].isSame(e) {
			entries[i] = before[0]
		}
	}
}

func specView(items map[string]item[struct{}], created time.Time) ([]*SpecEntry, map[string]uint64) {
	var entries []*SpecEntry
	confirmed := map[string]uint64{}
	for key, it := range items {
		server, answer := strings.CutPrefix(key, confirmPrefix)
		switch {
		case it.err != nil || key == keyStoreID:
		case answer:
			if c, err := parseConfirmation(server, it.value); !it.deleted && err == nil && c.Bucket.Equal(created) {
				confirmed[server] = c.Revision
			}
		default:
			if e, ok := shownSpec(it); ok {
				entries = append(entries, e)
			}
		}
	}
	slices.SortFunc(entries, compareSpecs)
	return entries, confirmed
}

// shownSpec is an item as a snapshot has it, if it is the spec of an object.
func shownSpec(it item[struct{}]) (*SpecEntry, bool) {
	e := specEntry(it.entry)
	var err error
	e.object, err = sharedKey(it.key)
	e.Missing = it.missing
	return &e, err == nil
}

// Observed is what the agent in charge reports, with its times on the clock of
// this machine.
func (v *Views) Observed() state.Observed {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := &v.observedCache
	it, synced, version, news := v.observed.one(keyAgent)
	if c.version != 0 && c.version == version {
		return c.view
	}
	believed := v.charge.believed()
	if beats := c.version != 0 && c.news == news && c.view.Agent != nil; beats && it.usable() && it.val.agent != nil {
		c.version, c.view.Agent = version, new(*it.val.agent) // it says what it did, and lives
	} else {
		synced = v.lookAtObserved(news)
	}
	c.view.Synced = synced && believed && c.view.Agent != nil && c.view.Agent.Synced
	return c.view
}

// lookAtObserved brings the view to what has changed; v.mu is held. If the news are others
// by now, the next call looks again.
func (v *Views) lookAtObserved(news uint64) (synced bool) {
	c, d := &v.observedCache, v.observed.delta()
	c.version, c.news = d.version, news
	switch {
	case d.whole:
		c.view = observe(d.items, d.synced)
	case !patchObserved(&c.view, d.items):
		items, _, _ := v.observed.snapshot()
		c.view = observe(items, d.synced)
	}
	return d.synced
}

// Unreadable names the values that stand in the buckets now and cannot be read, by
// bucket and key.
func (v *Views) Unreadable() []Unreadable {
	out := slices.Concat(v.specs.setAside(), v.statuses.setAside(), v.observed.setAside())
	sortUnreadable(out)
	return out
}

// FoundUnreadable are the values that were set aside since it was last asked; they
// may have been written over since. A value is found again when its bucket is
// reloaded.
func (v *Views) FoundUnreadable() []Unreadable {
	return slices.Concat(v.specs.takeFound(), v.statuses.takeFound(), v.observed.takeFound())
}

// Loaded reports whether every bucket has been read whole.
func (v *Views) Loaded() bool {
	return v.specs.isSynced() && v.statuses.isSynced() && v.observed.isSynced()
}

// Hears reports whether what the agent writes is followed as it comes.
func (v *Views) Hears() bool {
	connected, verified, _ := v.observed.health()
	return connected && !verified.IsZero()
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
	return h
}
