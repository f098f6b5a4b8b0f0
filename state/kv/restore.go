package kv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
)

// keyRestoring stands in the lease bucket while a restore is under way: buckets
// that are away are then not made again.
const (
	keyRestoring   = "restoring"
	restoreAtMost  = 10 * time.Minute
	restoreRetries = 20
)

// Restore puts a backup in place of the store. It reads the backup twice or more, and
// changes nothing unless it is whole. A store that holds anything is not replaced
// unless overwrite says so. A reconciler may run; what serves goes on. Errors:
// [ErrBadBackup], [ErrNotEmpty], [ErrUnreachable].
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
	done, err := c.announceRestore(ctx)
	if err != nil {
		return info, err
	}
	return info, errors.Join(wrap("restore", c.restoreAll(ctx, r)), done())
}

// restoreAll restores all buckets, again where somebody who has not been told yet has made
// one of them before its last part was there.
func (c *Client) restoreAll(ctx context.Context, r io.ReadSeeker) error {
	for try := 0; ; try++ {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := readBackup(r, func(s backupStream) (func([]byte) error, error) { return c.restoreStream(ctx, s) })
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

// announceRestore tells reconcilers not to make the buckets again meanwhile. Where
// no reconciler ever ran there is nobody to tell.
func (c *Client) announceRestore(ctx context.Context) (done func() error, err error) {
	_, err = put(ctx, c.js, write{bucket: BucketLease, key: keyRestoring, value: []byte("{}"), ttl: restoreAtMost})
	if errors.Is(wrap("", err), ErrNotAStore) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, wrap("announce the restore", err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
		defer cancel()
		h := header("", "")
		h.Set(headerOperation, opDelete)
		_, err := put(ctx, c.js, write{bucket: BucketLease, key: keyRestoring, header: h})
		return wrap("end the restore", err)
	}, nil
}

// restoring fails while a restore is under way.
func restoring(ctx context.Context, js jetstream.JetStream) error {
	e, err := last(ctx, js, BucketLease, keyRestoring)
	switch {
	case isNotFound(err), errors.Is(err, jetstream.ErrStreamNotFound), err == nil && e.deleted:
		return nil
	case err != nil:
		return wrap("look for a restore", err)
	}
	return fmt.Errorf("%w since %s; if `dynctl restore` was interrupted, run it again", ErrRestoring, e.at.UTC().Format(time.RFC3339))
}

// restoreStream removes a bucket and begins to restore it.
func (c *Client) restoreStream(ctx context.Context, s backupStream) (part func([]byte) error, err error) {
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
		if err := c.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
		err := api(ctx, c.js.Conn(), "$JS.API.STREAM.RESTORE."+name, s, &reply)
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
