package kv

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
)

// Buckets of the store.
const (
	BucketSpecs    = "dynctl_specs"
	BucketStatus   = "dynctl_status"
	BucketObserved = "dynctl_observed"
	BucketLease    = "dynctl_lease"
)

// HistoryDepth is how many revisions of a spec are kept.
const HistoryDepth = 64

// keyStoreID holds the store id, in the spec bucket and as a copy in the status
// bucket.
const keyStoreID = "store.id"

// storeIDPattern is what newStoreID makes.
var storeIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// known is what is remembered of a store whose buckets may be gone.
type known struct {
	id       string // empty: not known
	revision uint64 // the highest revision seen in the spec bucket
	limits   Limits
}

// EnsureBuckets makes the buckets and the store id unless they exist, and returns
// the id. Several callers may race. Existing buckets keep what the operator has
// tuned, but the spec bucket's history is raised to 64.
//
// The id is 16 random bytes in hex, made once by a create, with a copy in the
// status bucket: when the spec bucket is deleted and made again, the store is
// still the same one and keeps its units. Only when both are gone is it another
// store.
//
// A spec bucket that is made again begins above every revision that a status
// names, so an old revision never looks like a new one.
//
// The buckets of specs and statuses get the bounds of the limits, [DefaultLimits]
// unless given.
func EnsureBuckets(ctx context.Context, js jetstream.JetStream, limits ...Limits) (storeID string, err error) {
	k := known{}
	if len(limits) > 0 {
		k.limits = limits[0]
	}
	return ensureBuckets(ctx, js, k)
}

func ensureBuckets(ctx context.Context, js jetstream.JetStream, k known) (string, error) {
	if _, err := restoring(ctx, js); err != nil {
		return "", err
	}
	limits := k.limits.WithDefaults()
	lease := leaseBucket
	lease.replicas = limits.Replicas
	for _, b := range []bucketConfig{
		{name: BucketStatus, replicas: limits.Replicas, history: 1, maxBytes: limits.StatusBytes, batches: true, about: "what has become of each spec, written by the reconciler"},
		{name: BucketObserved, replicas: limits.Replicas, history: 1, about: "what the agent sees in Ray"},
		lease,
	} {
		if err := b.ensure(ctx, js); err != nil {
			return "", err
		}
	}
	specs := bucketConfig{name: BucketSpecs, replicas: limits.Replicas, history: HistoryDepth, maxBytes: limits.SpecBytes, about: "servers and models as they are wanted"}
	if _, err := js.Stream(ctx, streamName(BucketSpecs)); errors.Is(err, jetstream.ErrStreamNotFound) {
		highest, err := highestRevision(ctx, js)
		if err != nil {
			return "", err
		}
		specs.firstSeq = max(highest, k.revision) + 1
	}
	if err := specs.ensure(ctx, js); err != nil {
		return "", err
	}
	return ensureStoreID(ctx, js, k.id)
}

// bucketConfig describes one bucket. The stream is made directly, because the KV
// API cannot set the first sequence.
type bucketConfig struct {
	name, about string
	history     int64
	markerTTL   time.Duration
	firstSeq    uint64
	maxBytes    int64 // 0: none
	replicas    int   // 0: as it is
	// batches: many keys may be written at once, where this NATS can.
	batches bool
}

// leaseBucket alone has keys that expire: their end reaches watchers as a marker.
var leaseBucket = bucketConfig{name: BucketLease, history: 1, markerTTL: time.Second, about: "leader election"}

func (b bucketConfig) ensure(ctx context.Context, js jetstream.JetStream) error {
	if err := b.make(ctx, js); err != nil {
		return err
	}
	if b.batches {
		batches.Allow(ctx, js, streamName(b.name))
	}
	return nil
}

func (b bucketConfig) make(ctx context.Context, js jetstream.JetStream) error {
	doing := "bucket " + b.name
	cfg := jetstream.StreamConfig{
		Name:              streamName(b.name),
		Description:       "dynctl: " + b.about,
		Subjects:          []string{subject(b.name, ">")},
		Storage:           jetstream.FileStorage,
		Replicas:          max(b.replicas, 1),
		MaxMsgsPerSubject: b.history,
		// Values have no bound of their own: one over the contract's 512 KiB must
		// arrive, to be rejected with a reason.
		MaxMsgSize:             -1,
		MaxBytes:               -1,
		MaxMsgs:                -1,
		MaxConsumers:           -1,
		Discard:                jetstream.DiscardNew,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowDirect:            true,
		Duplicates:             2 * time.Minute,
		FirstSeq:               b.firstSeq,
		AllowMsgTTL:            b.markerTTL > 0,
		SubjectDeleteMarkerTTL: b.markerTTL,
	}
	setMaxBytes(&cfg, b.maxBytes)
	_, err := js.CreateStream(ctx, cfg)
	if isCode(err, codeNoStorage) { // of this NATS less is to be had; its own bound counts
		cfg.MaxBytes, cfg.Metadata = -1, nil
		_, err = js.CreateStream(ctx, cfg)
	}
	if err == nil {
		return nil
	}
	few := tooFew(doing, b.replicas, err) // which is told of one that is there, too
	if few == nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return wrap(doing, err)
	}
	s, err := js.Stream(ctx, streamName(b.name))
	if err != nil {
		return cmp.Or(few, wrap(doing, err))
	}
	cfg = s.CachedInfo().Config
	change := setMaxBytes(&cfg, b.maxBytes)
	if cfg.MaxMsgsPerSubject < b.history {
		cfg.MaxMsgsPerSubject, change = b.history, true
	}
	if b.markerTTL > 0 && !cfg.AllowMsgTTL {
		cfg.AllowMsgTTL, cfg.SubjectDeleteMarkerTTL, change = true, b.markerTTL, true
	}
	if !change {
		return nil
	}
	_, err = js.UpdateStream(ctx, cfg)
	if isCode(err, codeNoStorage) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bucket %s exists with other settings and cannot be changed to history %d and %d bytes: %w: delete it while it is empty", b.name, b.history, b.maxBytes, err)
	}
	return nil
}

// highestRevision is the highest spec revision that a status names.
func highestRevision(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	entries, err := scan(ctx, js, BucketStatus, ">", false)
	if err != nil {
		return 0, wrap("read "+BucketStatus, err)
	}
	highest := uint64(0)
	for _, e := range entries {
		if e.key == keyStoreID || e.deleted {
			continue
		}
		if s, err := parseStatus(e); err == nil {
			highest = max(highest, s.ObservedRevision, s.AcceptedRevision)
		}
	}
	return highest, nil
}

// ensureStoreID returns the id of the store and writes it wherever it does not
// stand: in the spec bucket, and as a copy in the status bucket. What is no id counts
// as absent. Where the two differ, the one that the caller remembers is right, or
// else the one that the agent knows its store by, or else that of the spec bucket;
// where neither is there, it is what the caller remembers, or recreated.
func ensureStoreID(ctx context.Context, js jetstream.JetStream, remembered string) (string, error) {
	spec, specRev, err := readStoreID(ctx, js, BucketSpecs)
	if err != nil {
		return "", wrap("store id", err)
	}
	copied, _, err := readStoreID(ctx, js, BucketStatus)
	if err != nil {
		return "", wrap("store id", err)
	}
	id := cmp.Or(spec, copied, remembered)
	if spec != "" && copied != "" && spec != copied {
		if witness := cmp.Or(remembered, agentsStoreID(ctx, js)); witness == copied {
			id = copied
		}
	}
	if id == "" {
		id = newStoreID()
	}
	if spec != id {
		_, err = put(ctx, js, write{bucket: BucketSpecs, key: keyStoreID, value: []byte(id), ifRev: &specRev})
		if errors.Is(wrap("", err), ErrConflict) { // somebody else was faster
			id, _, err = readStoreID(ctx, js, BucketSpecs)
		}
		if err != nil || id == "" {
			return "", wrap("store id", cmp.Or(err, ErrConflict))
		}
	}
	if copied == id {
		return id, nil
	}
	_, err = put(ctx, js, write{bucket: BucketStatus, key: keyStoreID, value: []byte(id)})
	return id, wrap("store id", err)
}

// readStoreID reads the id in a bucket, empty where there is none, and the revision
// of what stands in its place.
func readStoreID(ctx context.Context, js jetstream.JetStream, bucket string) (id string, rev uint64, err error) {
	e, err := last(ctx, js, bucket, keyStoreID)
	if isNotFound(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	if e.deleted || checkStoreID(e.value) != nil {
		return "", e.rev, nil
	}
	return string(e.value), e.rev, nil
}

// agentsStoreID is the store that the last agent was started for; empty: not known.
func agentsStoreID(ctx context.Context, js jetstream.JetStream) string {
	e, err := last(ctx, js, BucketObserved, keyAgent)
	if err != nil || e.deleted {
		return ""
	}
	o, err := parseObservation(e)
	if err != nil {
		return ""
	}
	return o.agent.StoreID
}

func newStoreID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
