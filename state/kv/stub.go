// Package kv keeps specs, statuses and observed units in NATS JetStream key-value buckets.
package kv

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// Sentinels.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrUnreachable = errors.New("NATS unreachable")
	ErrNotAStore   = errors.New("no reconciler has ever run against this NATS")
	ErrInvalid     = errors.New("invalid")
)

// Bucket names.
const (
	BucketSpecs    = "dynctl_specs"
	BucketStatus   = "dynctl_status"
	BucketObserved = "dynctl_observed"
	BucketLease    = "dynctl_lease"
)

// Client reads and writes the store.
type Client struct{}

// Connect dials a NATS and returns a client that owns the connection.
func Connect(ctx context.Context, url string, opts ...nats.Option) (*Client, error) {
	return nil, ErrUnreachable
}

// New makes a client on a connection of the caller's.
func New(js jetstream.JetStream) *Client { return nil }

// Close ends the connection that Connect made.
func (c *Client) Close() {}

// JetStream is the underlying context.
func (c *Client) JetStream() jetstream.JetStream { return nil }

// SpecEntry is one spec as it was written.
type SpecEntry struct {
	Key                string
	Revision           uint64
	Value              []byte
	Deleted, DeleteNow bool
	At                 time.Time
	Author, Comment    string
}

// PutOptions of PutSpec.
type PutOptions struct {
	IfRevision      *uint64
	Author, Comment string
}

// DeleteOptions of DeleteSpec.
type DeleteOptions struct {
	IfRevision      *uint64
	Author, Comment string
}

func (c *Client) PutSpec(ctx context.Context, key state.Key, value []byte, o PutOptions) (uint64, error) {
	return 0, nil
}
func (c *Client) GetSpec(ctx context.Context, key state.Key) (SpecEntry, error) {
	return SpecEntry{}, nil
}
func (c *Client) ListSpecs(ctx context.Context) ([]SpecEntry, error) { return nil, nil }
func (c *Client) SpecHistory(ctx context.Context, key state.Key) ([]SpecEntry, error) {
	return nil, nil
}
func (c *Client) DeleteSpec(ctx context.Context, key state.Key, o DeleteOptions) (uint64, error) {
	return 0, nil
}

// ConfirmDeletions answers the mass-deletion guard of a server.
func (c *Client) ConfirmDeletions(ctx context.Context, server, author string) (uint64, error) {
	return 0, nil
}
func (c *Client) GetStatus(ctx context.Context, key state.Key) (state.Status, error) {
	return state.Status{}, nil
}
func (c *Client) ListStatuses(ctx context.Context) ([]state.Status, error) { return nil, nil }

// StatusChange is one change of a status.
type StatusChange struct {
	Key     state.Key
	Status  state.Status
	Deleted bool
	// Loaded is true from the first change on that came after the initial ones.
	Loaded bool
}

// WatchStatuses yields what there is, then every change.
func (c *Client) WatchStatuses(ctx context.Context) iter.Seq2[StatusChange, error] { return nil }
func (c *Client) ListUnits(ctx context.Context) ([]state.Unit, error)              { return nil, nil }
func (c *Client) GetUnit(ctx context.Context, key state.UnitKey) (state.Unit, error) {
	return state.Unit{}, nil
}
func (c *Client) ListNodes(ctx context.Context) ([]state.Node, error) { return nil, nil }
func (c *Client) GetAgent(ctx context.Context) (state.Agent, error)   { return state.Agent{}, nil }
func (c *Client) GetLeader(ctx context.Context) (Lease, error)        { return Lease{}, nil }
func (c *Client) StoreID(ctx context.Context) (string, error)         { return "", nil }
func (c *Client) Ping(ctx context.Context) error                      { return nil }

// EnsureBuckets makes the buckets and the store id, which it returns.
func EnsureBuckets(ctx context.Context, js jetstream.JetStream) (storeID string, err error) {
	return "", nil
}

// SpecSnapshot is the spec bucket at one moment.
type SpecSnapshot struct {
	Synced    bool
	Entries   []SpecEntry       // sorted by key, deleted ones too
	Confirmed map[string]uint64 // by server: deletions up to this revision are confirmed
}

// Views are in-memory snapshots of the buckets.
type Views struct{}

func Watch(ctx context.Context, js jetstream.JetStream, kick func()) (*Views, error) {
	return nil, nil
}
func (v *Views) Close()                                    {}
func (v *Views) StoreID() string                           { return "" }
func (v *Views) Specs() SpecSnapshot                       { return SpecSnapshot{} }
func (v *Views) Statuses() (map[string]state.Status, bool) { return nil, false }
func (v *Views) Observed() state.Observed                  { return state.Observed{} }

// Health says how fresh the snapshots are.
type Health struct {
	Connected bool
	// Age is the time since the oldest view was last found complete.
	Age time.Duration
	Err error
}

func (v *Views) Health() Health { return Health{} }

// PutStatus writes by compare-and-swap on s.Revision; 0 creates.
func (c *Client) PutStatus(ctx context.Context, s state.Status) (uint64, error) { return 0, nil }

// DeleteStatus removes a status.
func (c *Client) DeleteStatus(ctx context.Context, key state.Key) error { return nil }

// Lease is the value of the leader key.
type Lease struct {
	Holder string    `json:"holder"`
	Epoch  uint64    `json:"epoch"`
	Since  time.Time `json:"since"`
}

// ElectorOptions of NewElector.
type ElectorOptions struct {
	// ID names this reconciler in the lease.
	ID string
	// Seen returns the highest epoch known from elsewhere; may be nil.
	Seen func() uint64
	Log  *slog.Logger
}

// Elector takes part in the election.
type Elector struct{}

// Term is one leadership. Ctx ends with it.
type Term struct {
	Epoch uint64
	Ctx   context.Context
}

// Held says, by the monotonic clock, that the lease still runs.
func (t Term) Held() bool { return false }

func NewElector(js jetstream.JetStream, o ElectorOptions) *Elector { return nil }

// Run takes part until ctx ends, then releases the lease.
func (e *Elector) Run(ctx context.Context) error { return nil }

// Leadership delivers each term that this elector wins.
func (e *Elector) Leadership() <-chan Term { return nil }

// Leader is the lease as last seen.
func (e *Elector) Leader() (Lease, bool) { return Lease{}, false }
