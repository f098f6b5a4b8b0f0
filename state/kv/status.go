package kv

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

// GetStatus reads one status. [ErrNotFound] when the reconciler has written none;
// an [UnreadableError] where what stands there is none.
func (c *Client) GetStatus(ctx context.Context, key state.Key) (state.Status, error) {
	doing := "status of " + key.String()
	if err := checkKey(key); err != nil {
		return state.Status{}, wrap(doing, err)
	}
	e, err := last(ctx, c.js, BucketStatus, key.String())
	if err != nil {
		return state.Status{}, wrap(doing, err)
	}
	if e.deleted {
		return state.Status{}, wrap(doing, ErrNotFound)
	}
	s, err := parseStatus(e)
	if err != nil {
		return state.Status{}, wrap(doing, c.instead(BucketStatus, e, err))
	}
	return s, nil
}

// ListStatuses reads every status, servers before models, then by server and name.
// Those that cannot be read are left out and named by an [UnreadableError], beside
// the others.
func (c *Client) ListStatuses(ctx context.Context) ([]state.Status, error) {
	entries, err := scan(ctx, c.js, BucketStatus, ">", false)
	if err != nil {
		return nil, wrap("list statuses", err)
	}
	var out []state.Status
	var bad []Unreadable
	for _, e := range entries {
		if e.deleted || e.key == keyStoreID {
			continue
		}
		s, err := parseStatus(e)
		if err != nil {
			bad = append(bad, unreadable(BucketStatus, e, err))
			continue
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b state.Status) int { return statusKey(a).Compare(statusKey(b)) })
	return out, c.leftOut(bad)
}

// PutStatus writes a status by compare-and-swap on s.Revision, where 0 means that
// there must be none, and returns the new revision. It is the reconciler's alone.
// Errors: [ErrConflict] (plan again on what stands there now), [ErrInvalid],
// [ErrNotAStore], [ErrUnreachable].
func (c *Client) PutStatus(ctx context.Context, s state.Status) (uint64, error) {
	w, err := writeOf(s)
	if err != nil {
		return 0, err
	}
	rev, err := put(ctx, c.js, w)
	return rev, wrap("write status of "+w.key, err)
}

// DeleteStatus removes a status; removing what is not there succeeds.
func (c *Client) DeleteStatus(ctx context.Context, key state.Key) error {
	doing := "delete status of " + key.String()
	if err := checkKey(key); err != nil {
		return wrap(doing, err)
	}
	e, err := last(ctx, c.js, BucketStatus, key.String())
	if isNotFound(err) || err == nil && e.deleted {
		return nil
	}
	if err != nil {
		return wrap(doing, err)
	}
	_, err = put(ctx, c.js, write{
		bucket: BucketStatus, key: key.String(),
		header: nats.Header{headerOperation: []string{opDelete}}, ifRev: &e.rev,
	})
	return wrap(doing, err)
}

// StatusChange is one status as it stands, or the news that it is gone.
type StatusChange struct {
	Key     state.Key
	Status  state.Status // zero when Deleted
	Deleted bool
	// Initial reports whether it stood there when the watch began (or began again after an
	// outage), rather than having been written since.
	Initial bool
}

// WatchStatuses yields every status that there is, then every change, until ctx
// ends or the loop is left. Changes of one key that come faster than they are
// read are merged into the newest. After an outage what was missed is caught up
// with; while it lasts, nothing is yielded. An entry that cannot be read yields
// [ErrInvalid], and the loop may go on. The error is the last when it wraps
// [ErrNotAStore], [ErrUnreachable] (at the beginning only) or why ctx ended.
func (c *Client) WatchStatuses(ctx context.Context) iter.Seq2[StatusChange, error] {
	return func(yield func(StatusChange, error) bool) {
		if err := c.Ping(ctx); err != nil {
			yield(StatusChange{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		q := &changes{news: map[string]entry{}, seen: map[string]uint64{}, wake: make(chan struct{}, 1)}
		m := newMirror(c.js, mirrorConfig[struct{}]{bucket: BucketStatus, each: q.add, kick: q.kick})
		var wg sync.WaitGroup
		wg.Go(func() {
			if c.cannotWatch(ctx) {
				c.poll(ctx, q)
				return
			}
			m.run(ctx)
		})
		defer wg.Wait()
		defer cancel()
		for {
			select {
			case <-q.wake:
			case <-ctx.Done():
				yield(StatusChange{}, ctx.Err())
				return
			}
			if !q.drain(yield) {
				return
			}
		}
	}
}

// changes is an unbounded queue with one place for each key, so that the watch
// never blocks on its reader.
type changes struct {
	wake chan struct{}

	mu    sync.Mutex
	order []string
	news  map[string]entry
	first map[string]bool
	seen  map[string]uint64 // the last revision queued, by key
}

func (q *changes) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *changes) add(e entry, initial bool) {
	if e.key == keyStoreID {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seen[e.key] == e.rev {
		return // known from before an outage
	}
	q.seen[e.key] = e.rev
	if _, queued := q.news[e.key]; !queued {
		q.order = append(q.order, e.key)
	}
	if q.first == nil {
		q.first = map[string]bool{}
	}
	q.news[e.key], q.first[e.key] = e, initial
}

// drain yields what is queued; false ends the watch.
func (q *changes) drain(yield func(StatusChange, error) bool) bool {
	for {
		q.mu.Lock()
		if len(q.order) == 0 {
			q.mu.Unlock()
			return true
		}
		key := q.order[0]
		q.order = q.order[1:]
		e, initial := q.news[key], q.first[key]
		delete(q.news, key)
		delete(q.first, key)
		q.mu.Unlock()

		k, err := state.ParseKey(key)
		change := StatusChange{Key: k, Deleted: e.deleted, Initial: initial}
		if e.deleted && err != nil {
			continue // nobody's
		}
		if !e.deleted {
			if change.Status, err = parseStatus(e); err != nil {
				err = leftOut([]Unreadable{unreadable(BucketStatus, e, err)})
			}
		}
		if !yield(change, err) {
			return false
		}
	}
}

// parseStatus reads the status of an object; the error is one line.
func parseStatus(e entry) (state.Status, error) {
	key, err := state.ParseKey(e.key)
	if err != nil {
		return state.Status{}, err
	}
	var s state.Status
	if err := decodeObject(e.value, maxStatus, &s); err != nil {
		return state.Status{}, err
	}
	if err := state.CheckStatus(s, key, e.at); err != nil {
		return state.Status{}, err
	}
	s.Key, s.Revision = e.key, e.rev
	s.Server, s.Name = shared(s.Server), shared(s.Name)
	return s, nil
}

// statusKey is the key that a status is stored under.
func statusKey(s state.Status) state.Key {
	if k, err := state.ParseKey(s.Key); err == nil {
		return k
	}
	if strings.EqualFold(s.Kind, state.KindServer) {
		return state.ServerKey(s.Server)
	}
	return state.ModelKey(s.Server, s.Name)
}
