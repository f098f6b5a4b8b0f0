package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SubjectChecks is where reconcilers answer with their [Checks], also while the store
// takes no writes.
const SubjectChecks = "dynctl.reconciler.checks"

// Check is one thing that carrying specs out rests on; docs/monitoring.md has the
// names.
type Check struct {
	Name string `json:"name"`
	// State is ok, degraded (specs are carried out, and somebody should look) or
	// failed (they are not).
	State string `json:"state"`
	// Text is one line for people; empty where there is nothing to say.
	Text string `json:"text"`
	// Reason is a constant, where the state has one.
	Reason string `json:"reason,omitempty"`
	// Soon: what the reason says has not come to pass yet.
	Soon bool `json:"soon,omitempty"`
}

// CheckDisk is the name of the check that looks at the disk of the store.
const CheckDisk = "disk"

// CheckCertificate is the name of the check that looks at a reconciler's certificate.
const CheckCertificate = "certificate"

// Checks are what one reconciler finds.
type Checks struct {
	// State is that of the worst check.
	State  string  `json:"state"`
	Checks []Check `json:"checks"`
}

// checksPatience is how long a reconciler has to answer, checksOthers how long others
// have after the first.
const (
	checksPatience = time.Second
	checksOthers   = 50 * time.Millisecond
	credsPatience  = 5 * time.Second
)

// maxCheckers is more than there are reconcilers on one store.
const maxCheckers = 16

// Checks asks every reconciler of the store what it finds. None that answers is no
// error: an empty list. Nothing is read from the store. The error is a
// [nats.ErrPermissionViolation] where NATS does not let this user ask.
func (c *Client) Checks(ctx context.Context) ([]Checks, error) {
	nc := c.js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, wrap("ask the reconcilers", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is gone where it fails
	if err := nc.PublishRequest(SubjectChecks, inbox, nil); err != nil {
		return nil, wrap("ask the reconcilers", err)
	}
	if err := refused(ctx, nc, SubjectChecks, inbox); err != nil {
		return nil, fmt.Errorf("ask the reconcilers: %w", err)
	}
	var out []Checks
	for wait := checksPatience; len(out) < maxCheckers; wait = checksOthers {
		next, cancel := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(next)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
			return out, nil
		case err != nil:
			return out, wrap("ask the reconcilers", err)
		}
		var answer Checks
		if len(m.Data) <= maxObserved && json.Unmarshal(m.Data, &answer) == nil {
			out = append(out, answer)
		}
	}
	return out, nil
}

// refused is the complaint of the server about one of the subjects, if it has any by the
// time that it has read what was sent: a request that it does not pass on gets no answer.
func refused(ctx context.Context, nc *nats.Conn, subjects ...string) error {
	ctx, cancel := context.WithTimeout(ctx, checksPatience)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return nil //nolint:nilerr // whoever waits for answers then finds out
	}
	err := nc.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && slices.ContainsFunc(subjects, func(s string) bool { return strings.Contains(err.Error(), strconv.Quote(s)) }) {
		return err
	}
	return nil
}

// BucketSize is how much a bucket, or the event stream, holds.
type BucketSize struct {
	// Name is that of the bucket or the stream.
	Name string
	// Bytes are all revisions together; Max is the bound, 0 where there is none.
	Bytes, Max uint64
	// Replicas is how many servers are to hold it, Away those of them that are away or
	// behind.
	Replicas, Away int
}

// Sizes asks how much the streams hold; others are streams beside the buckets. One that
// is not there is left out.
func Sizes(ctx context.Context, js jetstream.JetStream, others ...string) ([]BucketSize, error) {
	var out []BucketSize
	for _, name := range append(Buckets(), others...) {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return out, wrap("size of "+name, err)
		}
		info := s.CachedInfo()
		size := BucketSize{Name: strings.TrimPrefix(name, streamName("")), Bytes: info.State.Bytes, Max: uint64(max(info.Config.MaxBytes, 0)),
			Replicas: info.Config.Replicas}
		if c := info.Cluster; c != nil {
			for _, r := range c.Replicas {
				if r.Offline || !r.Current {
					size.Away++
				}
			}
		}
		out = append(out, size)
	}
	return out, nil
}
