package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// keyRestoring stands in the lease bucket while a restore is under way, and after one that
// was cut off: buckets that are away are then not made again, and those that are there not
// gone by, since NATS shows a stream while it is being filled, old revisions first.
const (
	keyRestoring   = "restoring"
	restoreAtMost  = 10 * time.Minute
	restoreRetries = 20
)

// Restore puts a backup in place of the store. It reads the backup twice or more, and
// changes nothing unless it is whole. A store that holds anything is not replaced
// unless overwrite says so. A reconciler may run; what serves goes on. Errors:
// [ErrBadBackup], [ErrNotEmpty], [ErrHalfRestored], [ErrUnreachable].
func (c *Client) Restore(ctx context.Context, r io.ReadSeeker, overwrite bool) (BackupInfo, error) {
	info, err := CheckBackup(r)
	if err != nil {
		return info, err
	}
	if !overwrite {
		if err := c.empty(ctx); err != nil {
			return info, err
		}
	}
	_, err = restoring(ctx, c.js)
	began := errors.Is(err, ErrRestoring) // and was cut off
	if err != nil && !began {
		return info, err
	}
	done, err := c.announceRestore(ctx, info)
	if err != nil {
		return info, err
	}
	err = c.restoreAll(ctx, r, &began)
	if err != nil && began {
		return info, fmt.Errorf("%w: %w", ErrHalfRestored, wrap("restore", err))
	}
	return info, errors.Join(wrap("restore", err), done())
}

// restoreAll restores all buckets, again where somebody who has not been told yet has made
// one of them before its last part was there. began: the store is no longer what it was.
func (c *Client) restoreAll(ctx context.Context, r io.ReadSeeker, began *bool) error {
	for try := 0; ; try++ {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := readBackup(r, func(s backupStream) (func([]byte) error, error) { return c.restoreStream(ctx, s, began) })
		if !isMadeMeanwhile(err) || try == restoreRetries || ctx.Err() != nil {
			return err
		}
	}
}

// empty fails unless there is no store, or one that holds nothing but its id.
func (c *Client) empty(ctx context.Context) error {
	for _, bucket := range backedUp {
		entries, err := scan(ctx, c.js, bucket, ">", false)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return wrap("look into "+bucket, err)
		}
		for _, e := range entries {
			if !internalKey(e.key) {
				return fmt.Errorf("%w: %s holds %s (%s in all)", ErrNotEmpty, bucket, e.key, state.Counted(len(entries), "key"))
			}
		}
	}
	return nil
}

// mark is the value of [keyRestoring].
type mark struct {
	// Revisions are how many each bucket has once it is restored. A mark of an earlier
	// version says nothing, and expires.
	Revisions map[string]uint64 `json:"revisions"`
}

// announceRestore tells reconcilers to let the store be meanwhile. done takes that back.
func (c *Client) announceRestore(ctx context.Context, info BackupInfo) (done func() error, err error) {
	m := mark{Revisions: map[string]uint64{}}
	for _, b := range info.Buckets {
		m.Revisions[b.Name] = b.Revisions
	}
	value, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	w := write{bucket: BucketLease, key: keyRestoring, value: value}
	rev, err := put(ctx, c.js, w)
	if errors.Is(wrap("", err), ErrNotAStore) { // no reconciler ever ran; one may be started meanwhile
		if err = leaseBucket.ensure(ctx, c.js); err == nil {
			rev, err = put(ctx, c.js, w)
		}
	}
	if err != nil {
		return nil, wrap("announce the restore", err)
	}
	return func() error {
		ctx := context.WithoutCancel(ctx)
		err := wrap("end the restore", unmark(ctx, c.js, rev))
		if errors.Is(err, ErrConflict) { // a reconciler of an earlier version deletes it
			_, err = restoring(ctx, c.js)
		}
		return err
	}, nil
}

// unmark removes the mark, unless it is another one by now.
func unmark(ctx context.Context, js jetstream.JetStream, rev uint64) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	h := header("", "")
	h.Set(headerOperation, opDelete)
	_, err := put(ctx, js, write{bucket: BucketLease, key: keyRestoring, header: h, ifRev: &rev})
	return err
}

// restoring fails while a restore is under way, or was cut off. Two calls that return the
// same revision had none between them.
func restoring(ctx context.Context, js jetstream.JetStream) (rev uint64, err error) {
	e, err := last(ctx, js, BucketLease, keyRestoring)
	switch {
	case isNotFound(err), errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, nil
	case err != nil:
		return 0, wrap("look for a restore", err)
	case e.deleted:
		return e.rev, nil
	}
	switch over, err := givenUp(ctx, js, e); {
	case err != nil:
		return 0, wrap("look for a restore", err)
	case over:
		return e.rev, wrap("end a restore", unmark(ctx, js, e.rev))
	}
	return 0, fmt.Errorf("%w since %s; if `dynctl restore` was interrupted, run it again", ErrRestoring, e.at.UTC().Format(time.RFC3339))
}

// givenUp reports whether a restore has been silent for long and left no bucket of which a
// part alone is there: that would be taken for what is wanted, and is older than anybody knows.
func givenUp(ctx context.Context, js jetstream.JetStream, e entry) (bool, error) {
	lease, err := openStream(ctx, js, BucketLease)
	if err != nil || lease.CachedInfo().TimeStamp.Sub(e.at) < restoreAtMost {
		return false, err
	}
	var m mark
	if err := decodeObject(e.value, maxConfirmation, &m); err != nil {
		return true, nil //nolint:nilerr // no restore wrote it
	}
	for bucket, revisions := range m.Revisions {
		s, err := openStream(ctx, js, bucket)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return false, err
		case s.CachedInfo().State.Msgs < revisions:
			return false, nil
		}
	}
	return true, nil
}

// restoreStream removes a bucket and begins to restore it; began is set from then on.
func (c *Client) restoreStream(ctx context.Context, s backupStream, began *bool) (part func([]byte) error, err error) {
	b, err := s.bucket()
	if err != nil {
		return nil, err
	}
	name := streamName(b.Name)
	var reply struct {
		apiReply
		DeliverSubject string `json:"deliver_subject"`
	}
	// Somebody who has not been told may make it again in between.
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := c.js.DeleteStream(ctx, name)
		away := err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
		var refused *jetstream.APIError
		*began = *began || away || !errors.As(err, &refused) // else nobody knows
		if !away {
			return nil, err
		}
		err = api(ctx, c.js.Conn(), "$JS.API.STREAM.RESTORE."+name, s, &reply)
		if err == nil {
			break
		}
		if try == restoreRetries || ctx.Err() != nil {
			return nil, err
		}
		reply.apiReply = apiReply{}
	}
	return func(data []byte) error {
		var ended apiReply
		ctx, cancel := context.WithTimeout(ctx, snapshotSilence)
		defer cancel()
		msg, err := c.js.Conn().RequestWithContext(ctx, reply.DeliverSubject, data)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
		if len(msg.Data) > 0 {
			err = decodeReply(msg.Data, &ended)
		}
		if err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
		return nil
	}, nil
}
