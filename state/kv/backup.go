package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A backup is one file with the status and the spec bucket as NATS itself snapshots
// them: every revision under its number, the times at which the buckets were made,
// and the store id. What is restored is therefore the same store: revisions that
// were accepted are the accepted ones, and actors that run are its own.

// Errors of backups, to be compared with errors.Is.
var (
	// ErrBadBackup means that a file is no backup, or that it is damaged.
	ErrBadBackup = errors.New("no usable backup")
	// ErrNotEmpty means that there is a store already where one should be restored.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrRestoring means that the store is being restored, so that what is there is not whole.
	ErrRestoring = errors.New("the store is being restored")
	// ErrHalfRestored means that a restore was cut off: reconcilers let the store be until
	// it is restored again.
	ErrHalfRestored = errors.New("the store is restored in part only")
)

// BackupInfo says what a backup holds.
type BackupInfo struct {
	// StoreID is the id of the store that was backed up.
	StoreID string `json:"storeId"`
	// Taken is when.
	Taken time.Time `json:"taken"`
	// Buckets are in the order in which they are restored: statuses first, so that
	// what was accepted is known when the specs appear.
	Buckets []BackupBucket `json:"-"`
}

// BackupBucket is one bucket of a backup.
type BackupBucket struct {
	// Name of the bucket.
	Name string
	// Keys counts its keys, the store's own included; Revisions what is kept of them.
	Keys, Revisions uint64
}

// backupStream describes a stream as the API of JetStream wants it back.
type backupStream struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

func (s backupStream) bucket() (BackupBucket, error) {
	var config struct{ Name string }
	var state struct {
		Messages    uint64 `json:"messages"`
		NumSubjects uint64 `json:"num_subjects"`
	}
	err := errors.Join(json.Unmarshal(s.Config, &config), json.Unmarshal(s.State, &state))
	for _, bucket := range backedUp {
		if config.Name == streamName(bucket) {
			return BackupBucket{Name: bucket, Keys: state.NumSubjects, Revisions: state.Messages}, err
		}
	}
	return BackupBucket{}, errors.Join(err, fmt.Errorf("it holds a stream %q, which is none of the store's", config.Name))
}

// backedUp are the buckets of a backup, in its order.
var backedUp = []string{BucketStatus, BucketSpecs}

// snapshotSilence is how long NATS may take for the next part of a snapshot.
const snapshotSilence = 30 * time.Second

// Backup writes a backup of the store. Errors: [ErrNotAStore], [ErrUnreachable], and
// those of w.
func (c *Client) Backup(ctx context.Context, w io.Writer, now time.Time) (BackupInfo, error) {
	info := BackupInfo{Taken: now.UTC()}
	var err error
	if info.StoreID, err = c.StoreID(ctx); err != nil {
		return info, err
	}
	out := newBackupWriter(w)
	out.json(frameHeader, info)
	for _, bucket := range backedUp {
		b, err := c.snapshot(ctx, bucket, out)
		if out.err != nil {
			return info, out.err // the disk's, and not NATS's
		}
		if err != nil {
			return info, wrap("back up "+bucket, err)
		}
		info.Buckets = append(info.Buckets, b)
	}
	return info, out.end()
}

// snapshot writes one bucket.
func (c *Client) snapshot(ctx context.Context, bucket string, out *backupWriter) (BackupBucket, error) {
	nc := c.js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return BackupBucket{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	// The server sends a window of them and waits; a slow disk here must not make the
	// client drop one.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return BackupBucket{}, err
	}
	var reply struct {
		backupStream
		apiReply
	}
	ask := map[string]any{"deliver_subject": inbox, "no_consumers": true, "jsck": true}
	if err := api(ctx, nc, "$JS.API.STREAM.SNAPSHOT."+streamName(bucket), ask, &reply); err != nil {
		return BackupBucket{}, err
	}
	b, err := reply.bucket()
	if err != nil {
		return b, err
	}
	out.json(frameStream, reply.backupStream)
	for {
		next, cancel := context.WithTimeout(ctx, snapshotSilence)
		msg, err := sub.NextMsgWithContext(next)
		cancel()
		if err != nil {
			return b, err
		}
		if len(msg.Data) == 0 {
			if status := msg.Header.Get("Status"); status != "" && status != "204" {
				return b, fmt.Errorf("NATS gave up the snapshot: %s %s", status, msg.Header.Get("Description"))
			}
			return b, out.err
		}
		out.frame(frameData, msg.Data)
		if out.err != nil {
			return b, out.err
		}
		if msg.Reply != "" {
			if err := msg.Respond(nil); err != nil {
				return b, err
			}
		}
	}
}

// apiReply is the part of a reply of the JetStream API that tells of an error.
type apiReply struct {
	Error *jetstream.APIError `json:"error"`
}

func (r apiReply) failed() error {
	if r.Error == nil {
		return nil
	}
	return r.Error
}

// api asks the JetStream API what the client library has no function for.
func api(ctx context.Context, nc *nats.Conn, subject string, ask any, reply interface{ failed() error }) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotSilence)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	return decodeReply(msg.Data, reply)
}

func decodeReply(b []byte, reply interface{ failed() error }) error {
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("reply of JetStream: %w", err)
	}
	return reply.failed()
}
