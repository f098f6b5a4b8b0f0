package kv

import (
	"maps"
	"reflect"
	"time"
)

// News tells one state of what the views show from another: as long as it is the same,
// nothing has changed but the time of the agent's heartbeat.
type News struct{ specs, statuses, observed uint64 }

// News is that of what the views show now.
func (v *Views) News() News {
	return News{v.specs.currentNews(), v.statuses.currentNews(), v.observed.currentNews()}
}

// StatusesAlone reports whether nothing but statuses has changed since then.
func (n News) StatusesAlone(since News) bool {
	since.statuses = n.statuses
	return n == since
}

// changed notes that what the views show is another; m.mu is held.
func (m *mirror[T]) changed() {
	m.version++
	m.news = m.version
	m.whole = true
	clear(m.touched)
}

// changedAt is changed where one key is all that has; m.mu is held.
func (m *mirror[T]) changedAt(key string) {
	m.version++
	m.news = m.version
	m.touch(key)
}

// touch notes for the next delta that a key is another; m.mu is held.
func (m *mirror[T]) touch(key string) {
	if m.whole {
		return
	}
	if m.touched == nil {
		m.touched = map[string]bool{}
	}
	m.touched[key] = true
}

// delta is what the views' maker has to look at.
type delta[T any] struct {
	// whole: items are all that there are, else those that have changed since the last delta.
	whole   bool
	items   map[string]item[T]
	synced  bool
	version uint64
	created time.Time
}

// patchAtMost is the part of all keys that a delta names one by one, as its divisor: past
// it, all that there are cost less.
const patchAtMost = 8

// delta is what has changed since it was last called; there is one caller.
func (m *mirror[T]) delta() delta[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := delta[T]{whole: m.whole || len(m.touched) > 1+len(m.items)/patchAtMost, synced: m.synced, version: m.version, created: m.created}
	if d.whole {
		d.items = maps.Clone(m.items)
	} else {
		d.items = make(map[string]item[T], len(m.touched))
		for key := range m.touched {
			d.items[key] = m.items[key]
		}
	}
	m.whole = false
	clear(m.touched)
	return d
}

// replace puts an entry that has arrived in the place of the one before; m.mu is held.
func (m *mirror[T]) replace(it item[T]) {
	old := m.items[it.key]
	m.trim(&it, old, &m.kept)
	m.items[it.key] = it
	m.bad += count(it.err != nil) - count(old.err != nil)
	if m.cfg.beat != nil && m.cfg.beat(old, it) {
		m.version++
		m.touch(it.key)
		return
	}
	m.changedAt(it.key)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (m *mirror[T]) currentNews() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.news
}

// one is a copy of one item, with what a snapshot says besides.
func (m *mirror[T]) one(key string) (it item[T], synced bool, version, news uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.items[key], m.synced, m.version, m.news
}

// isBeat reports whether an agent says what it said, at another time.
func isBeat(old, it item[observation]) bool {
	if it.key != keyAgent || it.err != nil || old.err != nil || it.deleted || old.deleted || it.val.agent == nil || old.val.agent == nil {
		return false
	}
	was := *old.val.agent
	was.At, was.Revision = it.val.agent.At, it.val.agent.Revision
	return reflect.DeepEqual(was, *it.val.agent)
}
