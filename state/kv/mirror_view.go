package kv

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxFound bounds what waits to be told: past it, what a view shows has to do.
const maxFound = 1024

// settle sets a value aside that cannot be read or that the others contradict, and
// holds on to the last one of its key that could be; m.mu is held.
func (m *mirror[T]) settle(others map[string]item[T], it item[T]) item[T] {
	if it.deleted {
		return it
	}
	if it.err == nil && m.cfg.judge != nil {
		it.err = m.cfg.judge(others, it)
	}
	if it.err == nil {
		return it
	}
	if old, ok := m.items[it.key]; ok && old.usable() && (m.synced || m.cfg.keepMissing) {
		it.val, it.held = old.val, true
	}
	if len(m.found) < maxFound {
		m.found = append(m.found, unreadable(m.cfg.bucket, it.entry, it.err))
	}
	return it
}

// setAside is what stands in the bucket and cannot be read, by key.
func (m *mirror[T]) setAside() []Unreadable {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Unreadable
	if m.bad == 0 {
		return nil
	}
	for _, it := range m.items {
		if it.err != nil && !it.deleted && !it.missing {
			out = append(out, unreadable(m.cfg.bucket, it.entry, it.err))
		}
	}
	return out
}

// takeFound is what was set aside since the last call, in the order in which it came.
func (m *mirror[T]) takeFound() []Unreadable {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.found
	m.found = nil
	return found
}

// snapshot is a copy of what is in force.
func (m *mirror[T]) snapshot() (items map[string]item[T], synced bool, version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.items), m.synced, m.version
}

func (m *mirror[T]) isSynced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

func (m *mirror[T]) currentVersion() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// health is the connection, when the copy was last complete, and what is wrong.
func (m *mirror[T]) health() (connected bool, verified time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		err = fmt.Errorf("%s: %w", m.cfg.bucket, m.err)
	}
	return m.connected && m.js.Conn().IsConnected(), m.verified, err
}

func openStream(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	return js.Stream(ctx, streamName(bucket))
}
