package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
	"dynctl/state"
)

// Client reads and writes the store. It is what dynctl uses and what any other
// service may use. Its methods may be called from any goroutine; a context
// without a deadline gets one of 5 s for each request to NATS.
type Client struct {
	js    jetstream.JetStream
	owned *nats.Conn // nil when the connection is the caller's
	tell  func(Unreadable)
	// batches is of the status bucket.
	batches *batches.Stream
}

// Connect dials a NATS ("nats://user:password@host:4222") and returns a client
// that owns the connection. It does not look whether there is a store: see
// [Client.Ping]. The error is [ErrUnreachable].
func Connect(ctx context.Context, natsURL string, opts ...nats.Option) (*Client, error) {
	all := []nats.Option{
		nats.Name("dynctl"),
		nats.MaxReconnects(-1),
		// What failed must not be sent later.
		nats.ReconnectBufSize(-1),
		// A server that hangs is left for another, or told, after 15 s at most.
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
	}
	if deadline, ok := ctx.Deadline(); ok {
		all = append(all, nats.Timeout(max(time.Until(deadline), time.Millisecond)))
	}
	nc, err := nats.Connect(natsURL, append(all, opts...)...)
	if err != nil {
		way := "start a reconciler there, or name another with DYNCTL_NATS_URL"
		switch {
		case Untrusted(err):
			way = wayUntrusted
		case errors.Is(err, nats.ErrAuthorization):
			way = "nobody is let in without a credential: " + WayIn
		}
		return nil, fmt.Errorf("%w at %s: %w: %s", ErrUnreachable, Redact(natsURL), RedactError(err), way)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, Redact(natsURL), err)
	}
	c := New(js)
	c.owned = nc
	return c, nil
}

// New makes a client on a connection of the caller's, which should have been made
// with nats.ReconnectBufSize(-1).
func New(js jetstream.JetStream) *Client {
	return &Client{js: js, batches: batches.Of(js, streamName(BucketStatus))}
}

// Close ends the connection if Connect made it.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.Close()
	}
}

// OnUnreadable has f told of every value that a call leaves out, instead of an
// [UnreadableError] with the result: lists are then what could be read, and an
// object whose only value cannot be read is not found. It is to be set before the
// client is used; f may be called from several goroutines.
func (c *Client) OnUnreadable(f func(Unreadable)) { c.tell = f }

// leftOut is the error for what was left out of a list; nil when nothing was, or
// somebody else is told.
func (c *Client) leftOut(values []Unreadable) error {
	if c.tell == nil || len(values) == 0 {
		return leftOut(values)
	}
	sortUnreadable(values)
	for _, u := range values {
		c.tell(u)
	}
	return nil
}

// instead is the error for a value that was asked for and cannot be read.
func (c *Client) instead(bucket string, e entry, why error) error {
	u := unreadable(bucket, e, why)
	if c.tell == nil {
		return leftOut([]Unreadable{u})
	}
	c.tell(u)
	return fmt.Errorf("what stands there cannot be read: %w", ErrNotFound)
}

// JetStream is the underlying context, for package events.
func (c *Client) JetStream() jetstream.JetStream { return c.js }

// Ping reports whether the store can be used: nil, [ErrUnreachable] or [ErrNotAStore].
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.StoreID(ctx)
	return err
}

// StoreID is the random id of the store, which every actor carries that was
// started from it.
func (c *Client) StoreID(ctx context.Context) (string, error) {
	for _, bucket := range []string{BucketSpecs, BucketStatus} { // the latter has a copy
		id, _, err := readStoreID(ctx, c.js, bucket)
		if err != nil || id != "" {
			return id, wrap("store id", err)
		}
	}
	return "", fmt.Errorf("store id: %w: the bucket %s is there without its id: start a reconciler", ErrNotAStore, BucketSpecs)
}

// SpecEntry is one spec as it was written, or the marker of its deletion.
type SpecEntry struct {
	// Key as in the bucket; state.ParseKey reads it. Whoever has the rights may
	// write any key, so it may be no key of a server or a model.
	Key      string
	Revision uint64
	Value    []byte // YAML or JSON; not to be changed; empty when Deleted
	// Size is that of the value, in bytes. A snapshot may lack the value itself:
	// see [Views.Load].
	Size    int
	Deleted bool
	// DeleteNow says of a deletion that it is not to be held.
	DeleteNow bool
	// Missing: the bucket has lost it without a delete marker; of snapshots alone.
	Missing bool
	At      time.Time // on the clock of the store
	Author  string
	Comment string

	object state.Key // that Key names, where it is known
}

// Object is what Key names; an error where that is no server and no model.
func (e *SpecEntry) Object() (state.Key, error) {
	if e.object.Kind != "" {
		return e.object, nil
	}
	return state.ParseKey(e.Key)
}

// isSame reports whether two entries of one bucket are the same, and as far there.
func (e *SpecEntry) isSame(o *SpecEntry) bool {
	return e.Key == o.Key && e.Revision == o.Revision && e.Missing == o.Missing && len(e.Value) == len(o.Value) && e.At.Equal(o.At)
}

func specEntry(e entry) SpecEntry {
	return SpecEntry{
		Key: e.key, Revision: e.rev, Value: e.value, Size: e.size, At: e.at,
		Deleted:   e.deleted,
		DeleteNow: e.deleted && e.header.Get(HeaderDelete) == DeleteNow,
		Author:    e.header.Get(HeaderAuthor),
		Comment:   e.header.Get(HeaderComment),
	}
}

// PutOptions say on what condition and in whose name to write.
type PutOptions struct {
	// IfRevision is the revision to replace: 0 means that the key must not exist.
	// Nil: whatever stands there.
	IfRevision *uint64
	Author     string
	Comment    string // one line
}

// DeleteOptions are as PutOptions.
type DeleteOptions PutOptions

func header(author, comment string) nats.Header {
	h := nats.Header{}
	for k, v := range map[string]string{HeaderAuthor: author, HeaderComment: comment} {
		if v = strings.Join(strings.Fields(v), " "); v != "" {
			h.Set(k, v)
		}
	}
	return h
}

// PutSpec writes a document and returns its revision. It does not validate: the
// reconciler does, and says so in the status. Errors: [ErrInvalid] (the key, or a
// value larger than NATS takes), [ErrConflict], [ErrNotAStore], [ErrUnreachable].
func (c *Client) PutSpec(ctx context.Context, key state.Key, value []byte, o PutOptions) (uint64, error) {
	doing := "write " + key.String()
	if err := checkKey(key); err != nil {
		return 0, wrap(doing, err)
	}
	rev, err := put(ctx, c.js, write{
		bucket: BucketSpecs, key: key.String(), value: value,
		header: header(o.Author, o.Comment), ifRev: o.IfRevision,
	})
	return rev, wrap(doing, err)
}

// DeleteSpec deletes an object at once, without the hold that other delete
// markers have, and returns the revision of the marker. An object that the spec
// bucket has lost, and that has a status or units all the same, is deleted as well.
// Errors: [ErrNotFound], [ErrConflict], [ErrInvalid], [ErrNotAStore], [ErrUnreachable].
func (c *Client) DeleteSpec(ctx context.Context, key state.Key, o DeleteOptions) (uint64, error) {
	doing := "delete " + key.String()
	e, err := c.GetSpec(ctx, key)
	if errors.Is(err, ErrNotFound) && o.IfRevision == nil && c.IsLeft(ctx, key) {
		return c.mark(ctx, key, o, new(uint64))
	}
	if err != nil {
		return 0, wrap(doing, err)
	}
	if o.IfRevision != nil && *o.IfRevision != e.Revision {
		return 0, fmt.Errorf("%s: %w: it is at revision %d, not %d", doing, ErrConflict, e.Revision, *o.IfRevision)
	}
	return c.mark(ctx, key, o, o.IfRevision)
}

// mark writes a delete marker that acts at once.
func (c *Client) mark(ctx context.Context, key state.Key, o DeleteOptions, ifRev *uint64) (uint64, error) {
	h := header(o.Author, o.Comment)
	h.Set(headerOperation, opDelete)
	h.Set(HeaderDelete, DeleteNow)
	doing := "delete " + key.String()
	marker := write{bucket: BucketSpecs, key: key.String(), header: h, ifRev: ifRev}
	rev, err := put(ctx, c.js, marker)
	// A full bucket takes no marker either: first the earlier revisions make room,
	// then the object, which without a marker goes on as it is.
	for keep := 1; isCode(err, codeMaxBytes) && keep >= 0; keep-- {
		if err := c.purge(ctx, key, keep); err != nil {
			return 0, wrap(doing, err)
		}
		if keep == 0 {
			marker.ifRev = nil
		}
		rev, err = put(ctx, c.js, marker)
	}
	return rev, wrap(doing, err)
}

// IsLeft reports whether something of an object without a spec is left that a delete
// would end: it has no delete marker (with one it is on its way), and a status, which
// need not be readable, or units.
func (c *Client) IsLeft(ctx context.Context, key state.Key) bool {
	if e, err := last(ctx, c.js, BucketSpecs, key.String()); err == nil && e.deleted {
		return false
	}
	if e, err := last(ctx, c.js, BucketStatus, key.String()); err == nil && !e.deleted {
		return true
	}
	o, _ := c.readObserved(ctx, "units") // those that cannot be read tell nothing
	return slices.ContainsFunc(o.Units, func(u *state.Unit) bool {
		return u.Server == key.Server && (u.Model == key.Name || key.Kind == state.KindServer)
	})
}

// purge removes all revisions of a spec but the newest ones.
func (c *Client) purge(ctx context.Context, key state.Key, keep int) error {
	s, err := c.js.Stream(ctx, streamName(BucketSpecs))
	if err != nil {
		return err
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(subject(BucketSpecs, key.String()))}
	if keep > 0 {
		opts = append(opts, jetstream.WithPurgeKeep(uint64(keep)))
	}
	return s.Purge(ctx, opts...)
}

// GetSpec reads the newest revision of a spec.
func (c *Client) GetSpec(ctx context.Context, key state.Key) (SpecEntry, error) {
	doing := "read " + key.String()
	if err := checkKey(key); err != nil {
		return SpecEntry{}, wrap(doing, err)
	}
	e, err := last(ctx, c.js, BucketSpecs, key.String())
	if err != nil {
		return SpecEntry{}, wrap(doing, err)
	}
	if e.deleted {
		return SpecEntry{}, wrap(doing, ErrNotFound)
	}
	return specEntry(e), nil
}

// ListSpecs reads the newest revision of every spec, without the deleted ones,
// by key: servers first.
func (c *Client) ListSpecs(ctx context.Context) ([]SpecEntry, error) {
	entries, err := scan(ctx, c.js, BucketSpecs, ">", false)
	if err != nil {
		return nil, wrap("list specs", err)
	}
	var out []SpecEntry
	for _, e := range entries {
		if !e.deleted && !internalKey(e.key) {
			out = append(out, specEntry(e))
		}
	}
	slices.SortFunc(out, func(a, b SpecEntry) int { return compareSpecs(&a, &b) })
	return out, nil
}

// SpecHistory reads the revisions of a spec that the bucket still holds (64 at
// most), oldest first, deletions too. Those over [state.MaxValueSize] come without their
// values, which nobody may read. [ErrNotFound] when there are none.
func (c *Client) SpecHistory(ctx context.Context, key state.Key) ([]SpecEntry, error) {
	doing := "history of " + key.String()
	if err := checkKey(key); err != nil {
		return nil, wrap(doing, err)
	}
	tooLarge := func(e *entry) {
		if e.size > state.MaxValueSize {
			e.value = nil
		}
	}
	entries, err := scanning{BucketSpecs, key.String(), true, func() func(*entry) { return tooLarge }}.entries(ctx, c.js)
	if err != nil {
		return nil, wrap(doing, err)
	}
	if len(entries) == 0 {
		return nil, wrap(doing, ErrNotFound)
	}
	out := make([]SpecEntry, len(entries))
	for i, e := range entries {
		out[i] = specEntry(e)
	}
	return out, nil
}

// checkKey refuses what would not be the same key when read back, or cannot be a
// NATS subject.
func checkKey(key state.Key) error {
	s := key.String()
	back, err := state.ParseKey(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if back != key {
		return fmt.Errorf("%w: key %q is not a server's or a model's", ErrInvalid, s)
	}
	if strings.Contains(s, "..") {
		return fmt.Errorf("%w: key %q: NATS allows no two dots in a row", ErrInvalid, s)
	}
	return nil
}
