package kv

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// keepSpecs is how many bytes of specs are kept until they were read, so that
	// a flood of large ones waits in the store and not in memory.
	keepSpecs = 4 << 20
	// pullBytesMin is what a mirror has sent to it at once, in bytes.
	pullBytesMin = 8 << 20
)

// pullBytes is that for a server: it asks for more when half of it has arrived, and
// the largest message has to fit into that half.
func pullBytes(js jetstream.JetStream) int {
	return int(max(pullBytesMin, 3*js.Conn().MaxPayload()))
}

// trim lets the value of an arrived entry go where what was made of it is enough or
// too much is kept already. old is what it replaces; m.mu is held.
func (m *mirror[T]) trim(it *item[T], old item[T], kept *int) {
	*kept -= len(old.value)
	lookedAtAgain := it.key == keyStoreID || strings.HasPrefix(it.key, confirmPrefix) // and short
	if it.err != nil || !lookedAtAgain && *kept+len(it.value) > m.cfg.keep {
		it.value = nil
	}
	*kept += len(it.value)
}

// put puts a value back, or lets it go (nil), if its revision still stands.
func (m *mirror[T]) put(key string, rev uint64, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.items[key]
	if !ok || it.rev != rev || it.err != nil || len(it.value)+len(value) == 0 {
		return
	}
	m.kept += len(value) - len(it.value)
	it.value = value
	m.items[key] = it
	m.changedAt(key)
}

// wanted are the specs whose values were asked for, by key.
type wanted struct {
	mu   sync.Mutex
	revs map[string]uint64
	wake chan struct{}
}

// Load has the values of these specs read into the snapshot, which may lack them
// where it was flooded: later, with a kick, and as long as they are the newest of
// their keys. [Views.Release] lets them go again.
func (v *Views) Load(entries ...*SpecEntry) {
	if len(entries) == 0 {
		return
	}
	w := &v.wanted
	w.mu.Lock()
	w.revs = make(map[string]uint64, len(entries))
	for _, e := range entries {
		w.revs[e.Key] = e.Revision
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Release says that the values of these specs were read and are needed no more.
func (v *Views) Release(entries ...*SpecEntry) {
	for _, e := range entries {
		v.specs.put(e.Key, e.Revision, nil)
	}
}

// loadValues reads what is wanted until ctx ends. What cannot be read is asked for
// again by whoever wants it.
func (v *Views) loadValues(ctx context.Context) {
	w := &v.wanted
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		revs := w.revs
		w.revs = nil
		w.mu.Unlock()
		stream, err := openStream(ctx, v.js, BucketSpecs)
		if err != nil {
			continue
		}
		for key, rev := range revs {
			v.loadValue(ctx, stream, key, rev)
		}
		v.specs.cfg.kick()
	}
}

func (v *Views) loadValue(ctx context.Context, stream jetstream.Stream, key string, rev uint64) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	m, err := stream.GetMsg(ctx, rev)
	if err == nil && m.Subject == subject(BucketSpecs, key) {
		v.specs.put(key, rev, m.Data)
	}
}
