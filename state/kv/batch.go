package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"dynctl/state"
)

const (
	// BatchMost is how many statuses are one batch at most; NATS takes 1,000.
	BatchMost = 256
	// BatchLeast is from how many on they are one: the store puts a batch into files of its
	// own first and then into the bucket, which takes as long as some single writes.
	BatchLeast = 32
	// batchBytes bounds a batch as well: what else waits for the bucket waits for all of it.
	batchBytes = 4 << 20
	// headerBytes is more than the headers of a message of a batch take.
	headerBytes = 1 << 10
	// aloneAtOnce is how many are written at once that are no batch.
	aloneAtOnce = 16
	// batchesEvery is how often a bucket that takes no batches is looked at again.
	batchesEvery = time.Minute
)

// Put is what has become of one write.
type Put struct {
	Revision uint64 // the new one
	Err      error
}

// PutStatuses writes statuses as [Client.PutStatus] does each, and says what has become of
// each. Where the store can, many are one write to its disk and one answer, all of them or
// none; if that is refused, because one is out of date, each is written by itself.
func (c *Client) PutStatuses(ctx context.Context, statuses []state.Status) []Put {
	out := make([]Put, len(statuses))
	writes := make([]statusWrite, 0, len(statuses))
	for i, s := range statuses {
		w, err := writeOf(s)
		if out[i].Err = err; err == nil {
			writes = append(writes, statusWrite{w, &out[i]})
		}
	}
	for len(writes) > 0 {
		some := batchOf(writes)
		writes = writes[len(some):]
		if len(some) < BatchLeast || !c.batches.taken(ctx, c.js) || !c.putBatch(ctx, some) {
			c.putAlone(ctx, some)
		}
	}
	return out
}

// statusWrite is a write, and where to say what has become of it.
type statusWrite struct {
	write
	put *Put
}

// writeOf is the write of a status.
func writeOf(s state.Status) (write, error) {
	key := statusKey(s)
	doing := "write status of " + key.String()
	if err := checkKey(key); err != nil {
		return write{}, wrap(doing, err)
	}
	value, err := json.Marshal(s)
	if err != nil {
		return write{}, fmt.Errorf("%s: %w: %w", doing, ErrInvalid, err)
	}
	return write{bucket: BucketStatus, key: key.String(), value: value, ifRev: &s.Revision}, nil
}

// batchOf is how many of the first are one batch.
func batchOf(writes []statusWrite) []statusWrite {
	size := 0
	for i, w := range writes {
		if size += len(w.value); i > 0 && (i == BatchMost || size > batchBytes) {
			return writes[:i]
		}
	}
	return writes
}

// putAlone writes each by itself.
func (c *Client) putAlone(ctx context.Context, writes []statusWrite) {
	var wg sync.WaitGroup
	queue := make(chan statusWrite, len(writes))
	for _, w := range writes {
		queue <- w
	}
	close(queue)
	for range min(aloneAtOnce, len(writes)) {
		wg.Go(func() {
			for w := range queue {
				rev, err := put(ctx, c.js, w.write)
				*w.put = Put{rev, wrap("write status of "+w.key, err)}
			}
		})
	}
	wg.Wait()
}

// putBatch writes all or none, and reports whether it is known what has become of them; else
// they are to be written each by itself.
func (c *Client) putBatch(ctx context.Context, writes []statusWrite) bool {
	msgs := make([]*nats.Msg, 0, len(writes))
	for _, w := range writes {
		if int64(len(w.value))+headerBytes > c.js.Conn().MaxPayload() {
			return false // or half a batch would be left there
		}
		msgs = append(msgs, &nats.Msg{Subject: subject(w.bucket, w.key), Data: w.value, Header: nats.Header{
			jetstream.ExpectedStreamHeader:      {streamName(w.bucket)},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(*w.ifRev, 10)},
		}})
	}
	err := ctx.Err() // or the store would keep what it got of a batch that never ends
	var ack *jetstreamext.BatchAck
	if err == nil {
		ack, err = jetstreamext.PublishMsgBatch(ctx, c.js, msgs, jetstreamext.BatchFlowControl{})
	}
	var api *jetstream.APIError
	switch {
	case err == nil:
	case errors.Is(err, jetstreamext.ErrBatchPublishNotEnabled), errors.Is(err, jetstreamext.ErrInvalidBatchAck):
		c.batches.refused()
		return false
	case errors.As(err, &api), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrNoResponders):
		return false // none is written; for what it is told of each
	}
	for i, w := range writes {
		if err != nil {
			*w.put = Put{Err: wrap("write status of "+w.key, err)}
			continue
		}
		w.put.Revision = ack.Sequence - uint64(len(writes)-1-i) // they follow each other
	}
	return true
}

// allowBatches has a bucket take batches. Where NATS cannot (one before 2.12) or this user may
// not change the bucket, it is written one by one, as ever.
func allowBatches(ctx context.Context, js jetstream.JetStream, bucket string) {
	s, err := js.Stream(ctx, streamName(bucket))
	if err != nil || s.CachedInfo().Config.AllowAtomicPublish {
		return
	}
	cfg := s.CachedInfo().Config
	cfg.AllowAtomicPublish = true
	_, _ = js.UpdateStream(ctx, cfg) // see [Client.Batches] for what came of it
}

// Batches reports whether many statuses are written at once.
func (c *Client) Batches(ctx context.Context) bool { return c.batches.taken(ctx, c.js) }

// batches is what is known of whether the status bucket takes batches.
type batches struct {
	mu    sync.Mutex
	takes bool
	asked time.Time // zero: never
}

// taken reports whether it does. A NATS before 2.12 does not know them, and stores what it is
// sent as a batch one by one, of which it answers for the last.
func (b *batches) taken(ctx context.Context, js jetstream.JetStream) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.takes && (b.asked.IsZero() || time.Since(b.asked) >= batchesEvery) {
		s, err := js.Stream(ctx, streamName(BucketStatus))
		b.takes, b.asked = err == nil && s.CachedInfo().Config.AllowAtomicPublish, time.Now()
	}
	return b.takes
}

// refused takes note of a bucket that has turned out to be another one.
func (b *batches) refused() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takes, b.asked = false, time.Now()
}
