package kv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of entries in the spec bucket, besides those of NATS KV.
const (
	// HeaderAuthor names who wrote.
	HeaderAuthor = "Dynctl-Author"
	// HeaderComment is the writer's one-line reason.
	HeaderComment = "Dynctl-Comment"
	// HeaderDelete with the value DeleteNow on a delete marker lifts the hold.
	HeaderDelete = "Dynctl-Delete"
	// DeleteNow is the value of HeaderDelete.
	DeleteNow = "now"
)

const (
	headerOperation = "KV-Operation"
	opDelete        = "DEL"
	opPurge         = "PURGE"
)

// entry is one message of a bucket's stream.
type entry struct {
	key     string
	rev     uint64
	value   []byte
	size    int // of the value, which may have been let go
	header  nats.Header
	at      time.Time // on the clock of the store; in a mirror, on ours
	deleted bool      // a delete or purge marker; nothing else deletes
	cut     bool      // the value was let go for want of room
}

func subject(bucket, key string) string { return "$KV." + bucket + "." + key }

func streamName(bucket string) string { return "KV_" + bucket }

func deletes(h nats.Header) bool {
	op := h.Get(headerOperation)
	return op == opDelete || op == opPurge
}

// expired reports whether the server left an entry in the place of a value whose time is over.
func expired(h nats.Header) bool { return h.Get(jetstream.MarkerReasonHeader) != "" }

// lasting are the headers that somebody may ask for of an entry in a mirror; nil: none. The
// others are what NATS was told to store it by, which is as much memory as a small value.
func lasting(h nats.Header) (out nats.Header) {
	for _, name := range []string{HeaderAuthor, HeaderComment, HeaderDelete, headerTTL, jetstream.MarkerReasonHeader} {
		if values, ok := h[name]; ok {
			if out == nil {
				out = nats.Header{}
			}
			out[name] = values
		}
	}
	return out
}

func fromMsg(bucket string, msg jetstream.Msg, meta *jetstream.MsgMetadata) entry {
	return entry{
		key:     strings.TrimPrefix(msg.Subject(), subject(bucket, "")),
		rev:     meta.Sequence.Stream,
		value:   msg.Data(),
		size:    len(msg.Data()),
		header:  msg.Headers(),
		at:      meta.Timestamp,
		deleted: deletes(msg.Headers()),
	}
}

// last is the newest entry of a key, which may be a delete marker.
func last(ctx context.Context, js jetstream.JetStream, bucket, key string) (entry, error) {
	e, err := lastDirect(ctx, js, bucket, key)
	if apart(err) {
		return lastThrough(ctx, js, bucket, key, err)
	}
	return e, err
}

func lastDirect(ctx context.Context, js jetstream.JetStream, bucket, key string) (entry, error) {
	s, err := js.Stream(ctx, streamName(bucket))
	if err != nil {
		return entry{}, err
	}
	return lastOf(ctx, s, bucket, key)
}

// lastOf is last of a bucket whose stream is known.
func lastOf(ctx context.Context, s jetstream.Stream, bucket, key string) (entry, error) {
	m, err := s.GetLastMsgForSubject(ctx, subject(bucket, key))
	if err != nil {
		return entry{}, err
	}
	return entry{
		key: key, rev: m.Sequence, value: m.Data, size: len(m.Data), header: m.Header, at: m.Time,
		deleted: deletes(m.Header) || expired(m.Header),
	}, nil
}

// write is one write of a key.
type write struct {
	bucket, key string
	value       []byte
	header      nats.Header
	// ifRev: the revision to replace; 0: the key must not exist (or be deleted).
	ifRev *uint64
	ttl   time.Duration // 0: none
}

// put stores one entry. It publishes to the bucket's subject instead of using the
// KV API, because that carries no headers and drops the TTL on updates.
func put(ctx context.Context, js jetstream.JetStream, w write) (uint64, error) {
	rev, err := publish(ctx, js, w)
	conflict := isCode(err, codeWrongSequence) || isCode(err, codeWrongSequenceConstant)
	if !conflict || w.ifRev == nil || *w.ifRev != 0 {
		return rev, err
	}
	// A delete marker is in the way of a create: replace exactly that one.
	e, lastErr := last(ctx, js, w.bucket, w.key)
	if lastErr != nil || !e.deleted {
		return 0, err
	}
	w.ifRev = &e.rev
	return publish(ctx, js, w)
}

func publish(ctx context.Context, js jetstream.JetStream, w write) (uint64, error) {
	if s := js.Conn().Status(); s != nats.CONNECTED {
		return 0, fmt.Errorf("%w: connection is %s", ErrUnreachable, s)
	}
	h := nats.Header{}
	for k, v := range w.header {
		h[k] = v
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectStream(streamName(w.bucket))}
	if w.ifRev != nil {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(*w.ifRev))
	}
	if w.ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(w.ttl))
	}
	// Of a store that somebody floods most writes are refused, but not for long.
	for delay := busyFirst; ; delay = min(2*delay, busyMax) {
		ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject(w.bucket, w.key), Data: w.value, Header: h}, opts...)
		if err == nil {
			return ack.Sequence, nil
		}
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			return 0, leaderless(ctx, js, w.bucket, err)
		}
		if !isCode(err, codeTooManyRequests) {
			return 0, err
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return 0, err
		}
	}
}

// How long a refused write waits before the next try.
const (
	busyFirst = 5 * time.Millisecond
	busyMax   = 100 * time.Millisecond
)

// How long each try of a scan waits for the next message.
var scanPatience = []time.Duration{time.Second, time.Second, 2 * time.Second, 5 * time.Second}

// scanStraggler is how long a try waits for what is being written again.
const scanStraggler = 200 * time.Millisecond

// scanning is what a scan reads.
type scanning struct {
	bucket, filter string
	history        bool
	// trim makes, for each try, what lets the value of an entry go that has arrived and is
	// not needed: a bucket may hold more than memory does. nil: all are kept.
	trim func() func(*entry)
}

// scan reads the entries under a filter ("unit.>"), oldest first: the newest of
// each key, or all that history holds.
//
// A key that is written again before it is sent is not sent as it was. Until it comes as
// it is now, nothing may be on its way although it has not arrived, or NATS waits for it
// without being woken: the first is waited for, the second ends a try and not the scan. Nor
// does a consumer's own count hold such a key at every moment, so the keys that have to
// arrive are those of the stream. What NATS leaves out is asked for, see lacking.
func scan(ctx context.Context, js jetstream.JetStream, bucket, filter string, history bool) ([]entry, error) {
	return scanning{bucket: bucket, filter: filter, history: history}.entries(ctx, js)
}

func (r scanning) entries(ctx context.Context, js jetstream.JetStream) ([]entry, error) {
	entries, err := scanDirect(ctx, js, r)
	if apart(err) {
		return readThrough(ctx, js, readRequest{Bucket: r.bucket, Filter: r.filter, History: r.history}, err)
	}
	return entries, err
}

func scanDirect(ctx context.Context, js jetstream.JetStream, r scanning) (entries []entry, err error) {
	s, err := js.Stream(ctx, streamName(r.bucket))
	if err != nil {
		return nil, err
	}
	for _, patience := range scanPatience {
		var whole bool
		entries, whole, err = r.once(ctx, js, s, patience)
		if whole || ctx.Err() != nil || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return entries, nil // of keys that vanish in every try, those that are there
}

// once is one try; whole: nothing lacks.
func (r scanning) once(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, patience time.Duration) (entries []entry, whole bool, err error) {
	policy := jetstream.DeliverAllPolicy
	var missing map[string]uint64 // of history nothing is written again
	if !r.history {
		policy = jetstream.DeliverLastPerSubjectPolicy
		there, err := s.Info(ctx, jetstream.WithSubjectFilter(subject(r.bucket, r.filter)))
		if err != nil {
			return nil, false, err
		}
		missing = there.State.Subjects
	}
	t := try{nc: js.Conn(), config: readerConfig(r.bucket, r.filter, policy), patience: patience, missing: missing, ahead: pullBytes(js), trim: func(*entry) {}}
	if r.trim != nil {
		t.trim = r.trim()
	}
	entries, err = t.scan(ctx, s)
	if len(missing) > 0 && ctx.Err() == nil && (err == nil || errors.Is(err, context.DeadlineExceeded)) {
		entries, err = t.ask(ctx, s, entries)
	}
	return entries, err == nil && len(missing) == 0, err
}

// try is one try of a scan.
type try struct {
	nc       *nats.Conn
	config   jetstream.ConsumerConfig
	patience time.Duration
	missing  map[string]uint64 // subjects that have to arrive
	ahead    int               // how many bytes the server sends that were not looked at yet
	trim     func(*entry)
}

// scan takes out of missing the subjects that it has read, also where it fails. While some are left, though
// nothing is on its way, it waits for them for scanStraggler.
func (t try) scan(ctx context.Context, s jetstream.Stream) (entries []entry, err error) {
	missing := t.missing
	bucket := strings.TrimPrefix(s.CachedInfo().Config.Name, streamName(""))
	cons, err := s.CreateConsumer(ctx, t.config)
	if err != nil {
		return nil, err
	}
	defer t.drop(cons)
	left := cons.CachedInfo().NumPending
	if left == 0 && len(missing) == 0 {
		return nil, nil
	}
	msgs, err := cons.Messages(jetstream.PullMaxBytes(t.ahead), jetstream.PullExpiry(10*heartbeat), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return nil, err
	}
	defer msgs.Stop()
	for n := uint64(1); left > 0 || len(missing) > 0; n++ {
		late, wait := left == 0, t.patience
		if late {
			wait = scanStraggler
		}
		next, cancel := context.WithTimeout(ctx, wait)
		var e entry
		e, left, err = nextEntry(next, msgs, bucket, n)
		cancel()
		if late && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		delete(missing, subject(bucket, e.key))
		t.trim(&e)
		entries = append(entries, e)
	}
	return entries, nil
}

// drop removes the consumer without waiting for that: over a far NATS it would take as long as
// the read. One that stays all the same is dropped in a minute.
func (t try) drop(cons jetstream.Consumer) {
	info := cons.CachedInfo()
	_ = t.nc.PublishRequest("$JS.API.CONSUMER.DELETE."+info.Stream+"."+info.Name, t.nc.NewInbox(), nil)
}

// nextEntry is the n-th that a consumer sends; left is how many follow.
func nextEntry(ctx context.Context, msgs jetstream.MessagesContext, bucket string, n uint64) (e entry, left uint64, err error) {
	msg, err := msgs.Next(jetstream.NextContext(ctx))
	if err != nil {
		return entry{}, 0, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return entry{}, 0, err
	}
	if meta.Sequence.Consumer != n {
		return entry{}, 0, fmt.Errorf("%w: message %s of %s was lost on the way", ErrUnreachable, strconv.FormatUint(n, 10), bucket)
	}
	return fromMsg(bucket, msg, meta), meta.NumPending, nil
}

func readerConfig(bucket, filter string, policy jetstream.DeliverPolicy) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		FilterSubject:     subject(bucket, filter),
		DeliverPolicy:     policy,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		InactiveThreshold: time.Minute,
	}
}

// dropConsumer removes a consumer at once instead of after its inactivity.
func dropConsumer(s jetstream.Stream, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.DeleteConsumer(ctx, cons.CachedInfo().Name) // NATS drops it in a minute otherwise
}

func isNotFound(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, ErrNotFound)
}
