package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events/batches"
	"dynctl/state"
)

const (
	// BatchMost is how many statuses are one batch at most.
	BatchMost = batches.Most
	// BatchLeast is from how many on they are one.
	BatchLeast = batches.Least
	// aloneAtOnce is how many are written at once that are no batch.
	aloneAtOnce = 16
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
		some := batches.First(writes, func(w statusWrite) int { return len(w.value) })
		writes = writes[len(some):]
		if len(some) < BatchLeast || !c.batches.Taken(ctx) || !c.putBatch(ctx, some) {
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
		msgs = append(msgs, &nats.Msg{Subject: subject(w.bucket, w.key), Data: w.value, Header: nats.Header{
			jetstream.ExpectedStreamHeader:      {streamName(w.bucket)},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(*w.ifRev, 10)},
		}})
	}
	last, err := c.batches.Store(ctx, msgs)
	if errors.Is(err, batches.ErrOneByOne) {
		return false
	}
	for i, w := range writes {
		if err != nil {
			*w.put = Put{Err: wrap("write status of "+w.key, err)}
			continue
		}
		w.put.Revision = last - uint64(len(writes)-1-i) // they follow each other
	}
	return true
}

// Batches reports whether many statuses are written at once.
func (c *Client) Batches(ctx context.Context) bool { return c.batches.Taken(ctx) }
